//! Sums for the offline model: `+ - * /`, brackets and decimals.

use std::iter::Peekable;
use std::str::Chars;

/// How deep brackets may be nested.
const DEPTH: u32 = 32;

/// The answer, when the text is a sum and nothing else but a question around it.
pub(super) fn answer(text: &str) -> Option<String> {
    let mut sum = text.trim().trim_end_matches(['?', '=', '.', '!', ' ']);
    for question in ["what's", "what is", "whats", "calculate", "compute", "how much is"] {
        if let Some((start, rest)) = sum.split_at_checked(question.len())
            && start.eq_ignore_ascii_case(question)
        {
            sum = rest.trim();
        }
    }
    let mut reader = Reader { rest: sum.chars().peekable(), operators: 0 };
    let value = reader.sum(0)?;
    if reader.skip_blanks().is_some() || reader.operators == 0 {
        return None;
    }
    match value {
        Ok(value) if value.is_finite() && value.abs() < 1e15 => Some(format!("{sum} = {}", written(value))),
        Ok(_) => Some("That is more than I can count.".to_owned()),
        Err(DividedByZero) => Some("Nobody can divide by zero.".to_owned()),
    }
}

/// At most six decimals, none that say nothing.
fn written(value: f64) -> String {
    let text = format!("{value:.6}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

struct DividedByZero;
/// `None` when the text is no sum.
type Value = Option<Result<f64, DividedByZero>>;

struct Reader<'a> {
    rest: Peekable<Chars<'a>>,
    operators: u32,
}

impl Reader<'_> {
    fn skip_blanks(&mut self) -> Option<char> {
        while self.rest.next_if(|c| c.is_whitespace()).is_some() {}
        self.rest.peek().copied()
    }

    fn sum(&mut self, depth: u32) -> Value {
        let mut left = self.product(depth)?;
        while let Some(operator @ ('+' | '-' | '−')) = self.skip_blanks() {
            self.rest.next();
            self.operators += 1;
            let right = self.product(depth)?;
            left = left.and_then(|left| right.map(|right| if operator == '+' { left + right } else { left - right }));
        }
        Some(left)
    }

    fn product(&mut self, depth: u32) -> Value {
        let mut left = self.factor(depth)?;
        while let Some(operator @ ('*' | '/' | 'x' | '×' | '÷')) = self.skip_blanks() {
            self.rest.next();
            self.operators += 1;
            let right = self.factor(depth)?;
            left = left.and_then(|left| match right? {
                right if matches!(operator, '*' | 'x' | '×') => Ok(left * right),
                0.0 => Err(DividedByZero),
                right => Ok(left / right),
            });
        }
        Some(left)
    }

    fn factor(&mut self, depth: u32) -> Value {
        if depth > DEPTH {
            return None;
        }
        match self.skip_blanks()? {
            '-' | '−' => {
                self.rest.next();
                Some(self.factor(depth + 1)?.map(|value| -value))
            }
            '(' => {
                self.rest.next();
                let value = self.sum(depth + 1)?;
                (self.skip_blanks() == Some(')')).then(|| self.rest.next())?;
                Some(value)
            }
            _ => {
                let mut digits = String::new();
                while let Some(digit) = self.rest.next_if(|c| c.is_ascii_digit() || *c == '.') {
                    digits.push(digit);
                }
                digits.parse().ok().map(Ok)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_answered_and_nothing_else_is_taken_for_one() {
        for (text, result) in [
            ("2+2", "2+2 = 4"),
            ("What is 12 * (3 + 4)?", "12 * (3 + 4) = 84"),
            ("what's 1 / 4 =", "1 / 4 = 0.25"),
            ("10 - 2 - 3", "10 - 2 - 3 = 5"),
            ("-3 × -2", "-3 × -2 = 6"),
            ("0.1 + 0.2", "0.1 + 0.2 = 0.3"),
            ("1/0", "Nobody can divide by zero."),
            ("999999999999 * 999999999999", "That is more than I can count."),
        ] {
            assert_eq!(answer(text).as_deref(), Some(result), "{text}");
        }
        let deep = "(".repeat(10_000) + "1+1" + &")".repeat(10_000);
        for text in ["", "hello", "42", "+15551234567", "2 +", "1.2.3 + 1", "(2", "2 + 2 apples", deep.as_str()] {
            assert_eq!(answer(text), None, "{text:?}");
        }
    }
}
