//! EPC binary tags of 96 bits (GS1 Tag Data Standard), written by the simulator's readers as 24 hex digits.

// The example prefix 0614141 of the standard; seven digits mean partition value 5 in all three schemes.
const COMPANY: u64 = 614_141;
const PARTITION: u64 = 5;

struct Bits {
    value: u128,
    used: u32,
}

impl Bits {
    fn header(header: u8) -> Bits {
        Bits { value: u128::from(header), used: 8 }
    }

    // Keeps the low `width` bits of `value`; the callers' numbers are bounded by their digit counts.
    fn put(mut self, value: u64, width: u32) -> Bits {
        let mask = (1_u128 << width) - 1;
        self.value = self.value << width | (u128::from(value) & mask);
        self.used += width;
        self
    }

    fn hex(self) -> String {
        format!("{:024X}", self.value << 96_u32.saturating_sub(self.used))
    }
}

/// GIAI-96 (header 0x34): an asset such as a wheelchair or a pump. `asset` below 2^58.
pub fn giai_96(asset: u64) -> String {
    Bits::header(0x34).put(0, 3).put(PARTITION, 3).put(COMPANY, 24).put(asset, 58).hex()
}

/// GSRN-96 (header 0x2D): a person, here a patient's wristband. `service` has at most ten digits.
pub fn gsrn_96(service: u64) -> String {
    Bits::header(0x2d).put(0, 3).put(PARTITION, 3).put(COMPANY, 24).put(service, 34).put(0, 24).hex()
}

/// SGTIN-96 (header 0x30), filter 1 (a retail item): a piece of stock. `item` is the indicator digit followed by the item
/// reference (six digits), `serial` below 2^38.
pub fn sgtin_96(item: u64, serial: u64) -> String {
    sgtin_filtered(1, item, serial)
}

fn sgtin_filtered(filter: u64, item: u64, serial: u64) -> String {
    Bits::header(0x30).put(filter, 3).put(PARTITION, 3).put(COMPANY, 24).put(item, 20).put(serial, 38).hex()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn example_of_the_tag_data_standard() {
        // urn:epc:tag:sgtin-96:3.0614141.812345.6789
        assert_eq!(sgtin_filtered(3, 812_345, 6_789), "3074257BF7194E4000001A85");
    }

    #[test]
    fn fields_stand_where_they_belong() {
        let number = |hex: &str| u128::from_str_radix(hex, 16).unwrap();
        let giai = number(&giai_96(12_345));
        assert_eq!((giai >> 88, giai >> 82 & 7, giai >> 58 & 0xff_ffff, giai & ((1 << 58) - 1)), (0x34, 5, 614_141, 12_345));
        let gsrn = number(&gsrn_96(9_999_999_999));
        assert_eq!((gsrn >> 88, gsrn >> 58 & 0xff_ffff, gsrn >> 24 & 0x3_ffff_ffff, gsrn & 0xff_ffff), (0x2d, 614_141, 9_999_999_999, 0));
        assert!([giai_96(1), gsrn_96(1), sgtin_96(1, 1)].iter().all(|hex| hex.len() == 24));
    }
}
