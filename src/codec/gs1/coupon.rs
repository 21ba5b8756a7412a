//! Coupons: AI 8110 (North American coupon application guideline) and AI 8112 (positive offer file). Rare in a hospital,
//! but an identifier of the dictionary like any other.

use super::check::Refusal;

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn digits(&mut self, count: usize, what: &str) -> Result<&'a str, Refusal> {
        match self.rest.split_at_checked(count) {
            Some((digits, rest)) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                self.rest = rest;
                Ok(digits)
            }
            _ => Err(format!("coupon: {what} is cut or no digits")),
        }
    }

    /// One digit out of `allowed`.
    fn digit(&mut self, allowed: &str, what: &str) -> Result<usize, Refusal> {
        let digit = self.digits(1, what)?;
        match (allowed.contains(digit), digit.parse()) {
            (true, Ok(number)) => Ok(number),
            _ => Err(format!("coupon: {what} is {digit}, allowed are {allowed}")),
        }
    }

    /// A length digit out of `allowed`, then that many digits and `more`.
    fn counted(&mut self, allowed: &str, more: usize, what: &str) -> Result<(), Refusal> {
        let length = self.digit(allowed, what)?;
        self.digits(length + more, what).map(drop)
    }

    fn purchase(&mut self, what: &str) -> Result<(), Refusal> {
        self.counted("12345", 0, what)?;
        self.digit("012349", what)?;
        self.digits(3, what).map(drop)
    }

    fn company_or_none(&mut self, what: &str) -> Result<(), Refusal> {
        match self.digit("01234569", what)? {
            9 => Ok(()),
            length => self.digits(length + 6, what).map(drop),
        }
    }

    fn date(&mut self, what: &str) -> Result<&'a str, Refusal> {
        let digits = self.digits(6, what)?;
        super::date(digits, 2026).map(|_| digits).map_err(|error| format!("coupon: {what}: {error}"))
    }
}

/// The data of AI 8110.
pub(super) fn north_american(value: &str) -> Result<(), Refusal> {
    let mut reader = Reader { rest: value };
    reader.counted("0123456", 6, "the company prefix")?;
    reader.digits(6, "the offer code")?;
    reader.counted("12345", 0, "the save value")?;
    reader.purchase("the first purchase requirement")?;
    let mut last = 0;
    let mut expiry = None;
    while !reader.rest.is_empty() {
        let field = reader.digit("1234569", "an optional field")?;
        if field <= last {
            return Err(format!("coupon: optional field {field} stands behind field {last}"));
        }
        last = field;
        match field {
            1 => {
                reader.digit("0123", "the additional purchase rule")?;
                reader.purchase("the second purchase requirement")?;
                reader.company_or_none("the second company prefix")?;
            }
            2 => {
                reader.purchase("the third purchase requirement")?;
                reader.company_or_none("the third company prefix")?;
            }
            3 => expiry = Some(reader.date("the expiry date")?),
            4 => {
                let start = reader.date("the start date")?;
                if expiry.is_some_and(|expiry| start > expiry) {
                    return Err("coupon: it expires before it starts".to_owned());
                }
            }
            5 => reader.counted("0123456789", 6, "the serial number")?,
            6 => reader.counted("1234567", 6, "the retailer")?,
            _ => {
                reader.digit("01256", "the save value code")?;
                reader.digit("012", "the item that the save value applies to")?;
                reader.digits(1, "the store coupon flag")?;
                reader.digit("01", "the do-not-multiply flag")?;
            }
        }
    }
    Ok(())
}

/// The data of AI 8112.
pub(super) fn positive_offer(value: &str) -> Result<(), Refusal> {
    let mut reader = Reader { rest: value };
    reader.digit("01", "the format")?;
    reader.counted("0123456", 6, "the funder")?;
    reader.digits(6, "the offer code")?;
    reader.counted("0123456789", 6, "the serial number")?;
    if reader.rest.is_empty() { Ok(()) } else { Err("coupon: there is more behind the serial number".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coupons_are_read_or_refused_with_the_part() {
        assert_eq!(north_american("106141416543213150110120"), Ok(()));
        assert!(north_american("10614141654321315011012032612313260101").unwrap_err().contains("field 3"));
        for (value, part) in [("7", "company prefix"), ("106141416543216", "save value"), ("1061414165432131501101203991301", "expiry")] {
            assert!(north_american(value).unwrap_err().contains(part), "{value}: {:?}", north_american(value));
        }
        assert_eq!(positive_offer("00123456654321012345 6".replace(' ', "").as_str()), Ok(()));
        assert!(positive_offer("2").unwrap_err().contains("format"));
    }
}
