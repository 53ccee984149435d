//! Where a listing goes on: opaque outside, checked when it comes back.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{Page, StoreError, StoreResult};

/// Which listing a cursor is of; another's is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listing {
    Users,
    Conversations,
    MessagesOfOne,
    MessagesOfAll,
    Jobs,
    Tokens,
    Todos,
    Graph,
    GraphSearch,
    Facts,
}

/// The last entry's place: what it is sorted by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place<const N: usize> {
    pub(super) numbers: [i64; N],
    pub(super) id: Vec<u8>,
}

/// Writes a place as a cursor.
pub(super) fn write<const N: usize>(listing: Listing, place: &Place<N>) -> String {
    let mut bytes = vec![listing as u8];
    for number in place.numbers {
        bytes.extend(number.to_be_bytes());
    }
    bytes.extend(&place.id);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads a cursor of that listing, whose ids have `id_bytes` bytes. No cursor is the beginning.
pub(super) fn read<const N: usize>(listing: Listing, id_bytes: usize, cursor: Option<&str>) -> StoreResult<Option<Place<N>>> {
    let Some(cursor) = cursor else { return Ok(None) };
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_invalid| StoreError::InvalidCursor)?;
    let place = (|| {
        let (kind, rest) = bytes.split_first()?;
        let (numbers, id) = rest.split_at_checked(N * 8)?;
        if *kind != listing as u8 || id.len() != id_bytes {
            return None;
        }
        let mut place = Place { numbers: [0; N], id: id.to_vec() };
        for (number, chunk) in place.numbers.iter_mut().zip(numbers.chunks_exact(8)) {
            *number = i64::from_be_bytes(chunk.try_into().ok()?);
        }
        Some(place)
    })();
    place.map(Some).ok_or(StoreError::InvalidCursor)
}

/// Rows to ask for: one more than the page holds tells whether there is another page.
pub(super) fn ask_for(limit: usize) -> i64 {
    i64::try_from(limit.max(1)).unwrap_or(i64::MAX - 1).saturating_add(1)
}

/// Makes a page of at most `limit` out of the rows found; `place` says where an entry stands.
pub(super) fn page<R, T, const N: usize>(
    listing: Listing,
    limit: usize,
    mut rows: Vec<R>,
    place: impl Fn(&R) -> Place<N>,
    item: impl Fn(R) -> T,
) -> Page<T> {
    let limit = limit.max(1);
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_last| more).map(|last| write(listing, &place(last)));
    Page { items: rows.into_iter().map(item).collect(), next }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_by_its_own_listing_alone() {
        let place = Place { numbers: [1, i64::MIN], id: vec![7; 16] };
        let text = write(Listing::Conversations, &place);
        assert_eq!(read(Listing::Conversations, 16, Some(&text)).unwrap(), Some(place));
        assert!(read::<2>(Listing::Users, 16, Some(&text)).is_err());
        assert!(read::<2>(Listing::Conversations, 12, Some(&text)).is_err());
        for wrong in ["", "x", "é", "AAAA", "' OR 1=1", &text[1..]] {
            assert!(read::<2>(Listing::Conversations, 16, Some(wrong)).is_err(), "{wrong:?}");
        }
    }
}
