//! The steps of changing what is on the disk. A test lets a process "die" between any two of them: from there on nothing is
//! changed any more, neither by what was under way nor by what would put it in order.

#[cfg(not(test))]
pub(super) use alive::{pieces, step};
#[cfg(test)]
pub(super) use mortal::{die_after, pieces, step};

#[cfg(not(test))]
mod alive {
    /// Passed before each step.
    #[inline]
    #[expect(clippy::unnecessary_wraps, reason = "the tests' version can fail")]
    pub(in super::super) const fn step() -> std::io::Result<()> {
        Ok(())
    }

    /// What is written at once.
    #[inline]
    pub(in super::super) fn pieces(bytes: &[u8]) -> [&[u8]; 1] {
        [bytes]
    }
}

#[cfg(test)]
mod mortal {
    use std::cell::Cell;

    thread_local! {
        /// How many steps this thread may still make; `None`: any number.
        static LEFT: Cell<Option<usize>> = const { Cell::new(None) };
    }

    /// Lets this thread make so many steps and then no more, until that is changed.
    pub(in super::super) fn die_after(steps: Option<usize>) {
        LEFT.set(steps);
    }

    /// What is written at once: half of it.
    pub(in super::super) fn pieces(bytes: &[u8]) -> [&[u8]; 2] {
        bytes.split_at(bytes.len() / 2).into()
    }

    /// Passed before each step.
    pub(in super::super) fn step() -> std::io::Result<()> {
        match LEFT.get() {
            None => Ok(()),
            Some(0) => Err(std::io::Error::other("the process has died")),
            Some(left) => {
                LEFT.set(Some(left - 1));
                Ok(())
            }
        }
    }
}
