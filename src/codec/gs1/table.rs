//! Every application identifier: how its value is made up, what it needs beside it, what it excludes.
//! Facts after the GS1 Barcode Syntax Dictionary (GS1 AISBL, Apache-2.0), in a form of our own.

/// Characters that a part may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Set {
    /// 0 to 9.
    Digits,
    /// GS1 AI encodable character set 82.
    Set82,
    /// GS1 AI encodable character set 39.
    Set39,
    /// File-safe, URI-safe base 64.
    Base64Url,
}

/// A check of a part's content beyond its characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    Digit,
    Pair,
    PrefixFirst,
    PrefixSecond,
    DateDayZero,
    Date,
    LongDate,
    HourMinute,
    Hour,
    Minute,
    Second,
    Currency,
    Country,
    CountryOr999,
    CountryLetters,
    PercentEncoded,
    Latitude,
    Longitude,
    YesNo,
    Minus,
    ImporterIndex,
    PackageType,
    MediaType,
    Sex,
    PositionInSequence,
    NotZero,
    Winding,
    Zero,
    PieceOfTotal,
    Iban,
    NoLeadingZero,
    HasNonDigit,
    Coupon,
    PositiveOffer,
}

use Check::*;
use Set::*;

/// A stretch of a value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub(super) set: Set,
    pub(super) min: usize,
    pub(super) max: usize,
    pub(super) is_optional: bool,
    pub(super) checks: &'static [Check],
}

/// One application identifier, or a range of them that differ in the last digit.
#[derive(Debug)]
pub struct Entry {
    /// First identifier of the range.
    pub first: &'static str,
    /// Last identifier of the range.
    pub last: &'static str,
    /// Whether no FNC1 need follow.
    pub is_predefined: bool,
    pub(super) parts: &'static [Part],
    /// Groups of which one must be present: `;` between conditions, `,` between alternatives, `+` between identifiers.
    pub requires: &'static str,
    /// Identifiers that must not be present.
    pub excludes: &'static str,
    /// The data title.
    pub title: &'static str,
}

const fn part(set: Set, min: usize, max: usize, is_optional: bool, checks: &'static [Check]) -> Part {
    Part { set, min, max, is_optional, checks }
}

const fn entry(first: &'static str, last: &'static str, is_predefined: bool, parts: &'static [Part], requires: &'static str, excludes: &'static str, title: &'static str) -> Entry {
    Entry { first, last, is_predefined, parts, requires, excludes, title }
}

/// How many rows the table has.
pub const AI_COUNT: usize = TABLE.len();

/// All rows in lexical order of their identifiers.
pub fn entries() -> &'static [Entry] {
    TABLE
}

/// The row of the identifier that begins this text, and the identifier's length.
pub(super) fn starting(text: &str) -> Option<(&'static Entry, usize)> {
    [2, 3, 4].into_iter().find_map(|length| text.get(..length).and_then(find).map(|entry| (entry, length)))
}

/// The row of an identifier.
pub(super) fn find(ai: &str) -> Option<&'static Entry> {
    let at = TABLE.partition_point(|entry| entry.first <= ai);
    let entry = &TABLE[at.checked_sub(1)?];
    (entry.first.len() == ai.len() && ai <= entry.last && ai.bytes().all(|byte| byte.is_ascii_digit())).then_some(entry)
}

#[rustfmt::skip]
static TABLE: &[Entry] = &[
    entry("00", "00", true, &[part(Digits, 18, 18, false, &[Digit, PrefixSecond])], "", "", "SSCC"),
    entry("01", "01", true, &[part(Digits, 14, 14, false, &[Digit, PrefixSecond])], "", "255,37", "GTIN"),
    entry("02", "02", true, &[part(Digits, 14, 14, false, &[Digit, PrefixSecond])], "37", "01,03", "CONTENT"),
    entry("03", "03", true, &[part(Digits, 14, 14, false, &[Digit, PrefixSecond])], "", "01,02,37,235", "MTO GTIN"),
    entry("10", "10", false, &[part(Set82, 1, 20, false, &[])], "01,02,03,8006,8026", "", "BATCH/LOT"),
    entry("11", "11", true, &[part(Digits, 6, 6, false, &[DateDayZero])], "01,02,03,8006,8026", "", "PROD DATE"),
    entry("12", "12", true, &[part(Digits, 6, 6, false, &[DateDayZero])], "8020", "", "DUE DATE"),
    entry("13", "13", true, &[part(Digits, 6, 6, false, &[DateDayZero])], "01,02,03,8006,8026", "", "PACK DATE"),
    entry("15", "15", true, &[part(Digits, 6, 6, false, &[DateDayZero])], "01,02,03,8006,8026", "", "BEST BEFORE or BEST BY"),
    entry("16", "16", true, &[part(Digits, 6, 6, false, &[DateDayZero])], "01,02,03,8006,8026", "", "SELL BY"),
    entry("17", "17", true, &[part(Digits, 6, 6, false, &[DateDayZero])], "01,02,03,255,8006,8026", "", "USE BY or EXPIRY"),
    entry("20", "20", true, &[part(Digits, 2, 2, false, &[])], "01,02,03,8006,8026", "", "VARIANT"),
    entry("21", "21", false, &[part(Set82, 1, 20, false, &[])], "01,03,8006", "235", "SERIAL"),
    entry("22", "22", false, &[part(Set82, 1, 20, false, &[])], "01", "", "CPV"),
    entry("235", "235", false, &[part(Set82, 1, 28, false, &[])], "01", "", "TPX"),
    entry("240", "240", false, &[part(Set82, 1, 30, false, &[])], "01,02,03,8006,8026", "", "ADDITIONAL ID"),
    entry("241", "241", false, &[part(Set82, 1, 30, false, &[])], "01,02,03,8006,8026", "", "CUST. PART No."),
    entry("242", "242", false, &[part(Digits, 1, 6, false, &[])], "01,02,8006,8026", "", "MTO VARIANT"),
    entry("243", "243", false, &[part(Set82, 1, 20, false, &[])], "01,03", "", "PCN"),
    entry("250", "250", false, &[part(Set82, 1, 30, false, &[])], "01+21,03+21,8006+21", "", "SECONDARY SERIAL"),
    entry("251", "251", false, &[part(Set82, 1, 30, false, &[])], "01,03,8006", "", "REF. TO SOURCE"),
    entry("253", "253", false, &[part(Digits, 13, 13, false, &[Digit, PrefixFirst]), part(Set82, 1, 17, true, &[])], "", "", "GDTI"),
    entry("254", "254", false, &[part(Set82, 1, 20, false, &[])], "414", "", "GLN EXTENSION COMPONENT"),
    entry("255", "255", false, &[part(Digits, 13, 13, false, &[Digit, PrefixFirst]), part(Digits, 1, 12, true, &[])], "", "01,02,415,8006,8020,8026", "GCN"),
    entry("30", "30", false, &[part(Digits, 1, 8, false, &[])], "01,02", "", "VAR. COUNT"),
    entry("3100", "3105", true, &[part(Digits, 6, 6, false, &[])], "01,02", "310n", "NET WEIGHT (kg)"),
    entry("3110", "3115", true, &[part(Digits, 6, 6, false, &[])], "01,02", "311n", "LENGTH (m)"),
    entry("3120", "3125", true, &[part(Digits, 6, 6, false, &[])], "01,02", "312n", "WIDTH (m)"),
    entry("3130", "3135", true, &[part(Digits, 6, 6, false, &[])], "01,02", "313n", "HEIGHT (m)"),
    entry("3140", "3145", true, &[part(Digits, 6, 6, false, &[])], "01,02", "314n", "AREA (m²)"),
    entry("3150", "3155", true, &[part(Digits, 6, 6, false, &[])], "01,02", "315n", "NET VOLUME (l)"),
    entry("3160", "3165", true, &[part(Digits, 6, 6, false, &[])], "01,02", "316n", "NET VOLUME (m³)"),
    entry("3200", "3205", true, &[part(Digits, 6, 6, false, &[])], "01,02", "320n", "NET WEIGHT (lb)"),
    entry("3210", "3215", true, &[part(Digits, 6, 6, false, &[])], "01,02", "321n", "LENGTH (in)"),
    entry("3220", "3225", true, &[part(Digits, 6, 6, false, &[])], "01,02", "322n", "LENGTH (ft)"),
    entry("3230", "3235", true, &[part(Digits, 6, 6, false, &[])], "01,02", "323n", "LENGTH (yd)"),
    entry("3240", "3245", true, &[part(Digits, 6, 6, false, &[])], "01,02", "324n", "WIDTH (in)"),
    entry("3250", "3255", true, &[part(Digits, 6, 6, false, &[])], "01,02", "325n", "WIDTH (ft)"),
    entry("3260", "3265", true, &[part(Digits, 6, 6, false, &[])], "01,02", "326n", "WIDTH (yd)"),
    entry("3270", "3275", true, &[part(Digits, 6, 6, false, &[])], "01,02", "327n", "HEIGHT (in)"),
    entry("3280", "3285", true, &[part(Digits, 6, 6, false, &[])], "01,02", "328n", "HEIGHT (ft)"),
    entry("3290", "3295", true, &[part(Digits, 6, 6, false, &[])], "01,02", "329n", "HEIGHT (yd)"),
    entry("3300", "3305", true, &[part(Digits, 6, 6, false, &[])], "00,01", "330n", "GROSS WEIGHT (kg)"),
    entry("3310", "3315", true, &[part(Digits, 6, 6, false, &[])], "00,01", "331n", "LENGTH (m), log"),
    entry("3320", "3325", true, &[part(Digits, 6, 6, false, &[])], "00,01", "332n", "WIDTH (m), log"),
    entry("3330", "3335", true, &[part(Digits, 6, 6, false, &[])], "00,01", "333n", "HEIGHT (m), log"),
    entry("3340", "3345", true, &[part(Digits, 6, 6, false, &[])], "00,01", "334n", "AREA (m²), log"),
    entry("3350", "3355", true, &[part(Digits, 6, 6, false, &[])], "00,01", "335n", "VOLUME (l), log"),
    entry("3360", "3365", true, &[part(Digits, 6, 6, false, &[])], "00,01", "336n", "VOLUME (m³), log"),
    entry("3370", "3375", true, &[part(Digits, 6, 6, false, &[])], "01", "337n", "KG PER m²"),
    entry("3400", "3405", true, &[part(Digits, 6, 6, false, &[])], "00,01", "340n", "GROSS WEIGHT (lb)"),
    entry("3410", "3415", true, &[part(Digits, 6, 6, false, &[])], "00,01", "341n", "LENGTH (in), log"),
    entry("3420", "3425", true, &[part(Digits, 6, 6, false, &[])], "00,01", "342n", "LENGTH (ft), log"),
    entry("3430", "3435", true, &[part(Digits, 6, 6, false, &[])], "00,01", "343n", "LENGTH (yd), log"),
    entry("3440", "3445", true, &[part(Digits, 6, 6, false, &[])], "00,01", "344n", "WIDTH (in), log"),
    entry("3450", "3455", true, &[part(Digits, 6, 6, false, &[])], "00,01", "345n", "WIDTH (ft), log"),
    entry("3460", "3465", true, &[part(Digits, 6, 6, false, &[])], "00,01", "346n", "WIDTH (yd), log"),
    entry("3470", "3475", true, &[part(Digits, 6, 6, false, &[])], "00,01", "347n", "HEIGHT (in), log"),
    entry("3480", "3485", true, &[part(Digits, 6, 6, false, &[])], "00,01", "348n", "HEIGHT (ft), log"),
    entry("3490", "3495", true, &[part(Digits, 6, 6, false, &[])], "00,01", "349n", "HEIGHT (yd), log"),
    entry("3500", "3505", true, &[part(Digits, 6, 6, false, &[])], "01,02", "350n", "AREA (in²)"),
    entry("3510", "3515", true, &[part(Digits, 6, 6, false, &[])], "01,02", "351n", "AREA (ft²)"),
    entry("3520", "3525", true, &[part(Digits, 6, 6, false, &[])], "01,02", "352n", "AREA (yd²)"),
    entry("3530", "3535", true, &[part(Digits, 6, 6, false, &[])], "00,01", "353n", "AREA (in²), log"),
    entry("3540", "3545", true, &[part(Digits, 6, 6, false, &[])], "00,01", "354n", "AREA (ft²), log"),
    entry("3550", "3555", true, &[part(Digits, 6, 6, false, &[])], "00,01", "355n", "AREA (yd²), log"),
    entry("3560", "3565", true, &[part(Digits, 6, 6, false, &[])], "01,02", "356n", "NET WEIGHT (tr oz)"),
    entry("3570", "3575", true, &[part(Digits, 6, 6, false, &[])], "01,02", "357n", "NET VOLUME (oz)"),
    entry("3600", "3605", true, &[part(Digits, 6, 6, false, &[])], "01,02", "360n", "NET VOLUME (qt (US))"),
    entry("3610", "3615", true, &[part(Digits, 6, 6, false, &[])], "01,02", "361n", "NET VOLUME (gal.)"),
    entry("3620", "3625", true, &[part(Digits, 6, 6, false, &[])], "00,01", "362n", "VOLUME (qt (US)), log"),
    entry("3630", "3635", true, &[part(Digits, 6, 6, false, &[])], "00,01", "363n", "VOLUME (gal (US)), log"),
    entry("3640", "3645", true, &[part(Digits, 6, 6, false, &[])], "01,02", "364n", "NET VOLUME (in³)"),
    entry("3650", "3655", true, &[part(Digits, 6, 6, false, &[])], "01,02", "365n", "NET VOLUME (ft³)"),
    entry("3660", "3665", true, &[part(Digits, 6, 6, false, &[])], "01,02", "366n", "NET VOLUME (yd³)"),
    entry("3670", "3675", true, &[part(Digits, 6, 6, false, &[])], "00,01", "367n", "VOLUME (in³), log"),
    entry("3680", "3685", true, &[part(Digits, 6, 6, false, &[])], "00,01", "368n", "VOLUME (ft³), log"),
    entry("3690", "3695", true, &[part(Digits, 6, 6, false, &[])], "00,01", "369n", "VOLUME (yd³), log"),
    entry("37", "37", false, &[part(Digits, 1, 8, false, &[])], "00+02,00+8026", "", "COUNT"),
    entry("3900", "3909", false, &[part(Digits, 1, 15, false, &[])], "255,8020", "390n,391n,394n,8111", "AMOUNT"),
    entry("3910", "3919", false, &[part(Digits, 3, 3, false, &[Currency]), part(Digits, 1, 15, false, &[])], "8020", "391n", "AMOUNT"),
    entry("3920", "3929", false, &[part(Digits, 1, 15, false, &[])], "01+30,01+31nn,01+32nn,01+35nn,01+36nn", "392n,393n", "PRICE"),
    entry("3930", "3939", false, &[part(Digits, 3, 3, false, &[Currency]), part(Digits, 1, 15, false, &[])], "30,31nn,32nn,35nn,36nn", "393n", "PRICE"),
    entry("3940", "3943", false, &[part(Digits, 4, 4, false, &[])], "255", "394n,8111", "PRCNT OFF"),
    entry("3950", "3955", false, &[part(Digits, 6, 6, false, &[])], "30,31nn,32nn,35nn,36nn", "392n,393n,395n,8005", "PRICE/UoM"),
    entry("400", "400", false, &[part(Set82, 1, 30, false, &[])], "", "", "ORDER NUMBER"),
    entry("401", "401", false, &[part(Set82, 1, 30, false, &[PrefixFirst])], "", "", "GINC"),
    entry("402", "402", false, &[part(Digits, 17, 17, false, &[Digit, PrefixFirst])], "", "", "GSIN"),
    entry("403", "403", false, &[part(Set82, 1, 30, false, &[])], "00", "", "ROUTE"),
    entry("410", "410", true, &[part(Digits, 13, 13, false, &[Digit, PrefixFirst])], "", "", "SHIP TO LOC"),
    entry("411", "411", true, &[part(Digits, 13, 13, false, &[Digit, PrefixFirst])], "", "", "BILL TO"),
    entry("412", "412", true, &[part(Digits, 13, 13, false, &[Digit, PrefixFirst])], "", "", "PURCHASE FROM"),
    entry("413", "413", true, &[part(Digits, 13, 13, false, &[Digit, PrefixFirst])], "", "", "SHIP FOR LOC"),
    entry("414", "414", true, &[part(Digits, 13, 13, false, &[Digit, PrefixFirst])], "", "", "LOC No."),
    entry("415", "415", true, &[part(Digits, 13, 13, false, &[Digit, PrefixFirst])], "8020", "", "PAY TO"),
    entry("416", "416", true, &[part(Digits, 13, 13, false, &[Digit, PrefixFirst])], "", "", "PROD/SERV LOC"),
    entry("417", "417", true, &[part(Digits, 13, 13, false, &[Digit, PrefixFirst])], "", "", "PARTY"),
    entry("420", "420", false, &[part(Set82, 1, 20, false, &[])], "", "421", "SHIP TO POST"),
    entry("421", "421", false, &[part(Digits, 3, 3, false, &[Country]), part(Set82, 1, 9, false, &[])], "", "4307", "SHIP TO POST"),
    entry("422", "422", false, &[part(Digits, 3, 3, false, &[Country])], "01,02,03,8006,8026", "426", "ORIGIN"),
    entry("423", "423", false, &[part(Digits, 3, 3, false, &[Country]), part(Digits, 3, 3, true, &[Country]), part(Digits, 3, 3, true, &[Country]), part(Digits, 3, 3, true, &[Country]), part(Digits, 3, 3, true, &[Country])], "01,02,03", "426", "COUNTRY - INITIAL PROCESS"),
    entry("424", "424", false, &[part(Digits, 3, 3, false, &[Country])], "01,02,03", "426", "COUNTRY - PROCESS"),
    entry("425", "425", false, &[part(Digits, 3, 3, false, &[Country]), part(Digits, 3, 3, true, &[Country]), part(Digits, 3, 3, true, &[Country]), part(Digits, 3, 3, true, &[Country]), part(Digits, 3, 3, true, &[Country])], "01,02,03", "426", "COUNTRY - DISASSEMBLY"),
    entry("426", "426", false, &[part(Digits, 3, 3, false, &[Country])], "01,02,03", "", "COUNTRY - FULL PROCESS"),
    entry("427", "427", false, &[part(Set82, 1, 3, false, &[])], "01+422,02+422,03+422", "", "ORIGIN SUBDIVISION"),
    entry("4300", "4300", false, &[part(Set82, 1, 35, false, &[PercentEncoded])], "00", "", "SHIP TO COMP"),
    entry("4301", "4301", false, &[part(Set82, 1, 35, false, &[PercentEncoded])], "00", "", "SHIP TO NAME"),
    entry("4302", "4302", false, &[part(Set82, 1, 70, false, &[PercentEncoded])], "00", "", "SHIP TO ADD1"),
    entry("4303", "4303", false, &[part(Set82, 1, 70, false, &[PercentEncoded])], "4302", "", "SHIP TO ADD2"),
    entry("4304", "4304", false, &[part(Set82, 1, 70, false, &[PercentEncoded])], "00", "", "SHIP TO SUB"),
    entry("4305", "4305", false, &[part(Set82, 1, 70, false, &[PercentEncoded])], "00", "", "SHIP TO LOC"),
    entry("4306", "4306", false, &[part(Set82, 1, 70, false, &[PercentEncoded])], "00", "", "SHIP TO REG"),
    entry("4307", "4307", false, &[part(Set82, 2, 2, false, &[CountryLetters])], "00", "", "SHIP TO COUNTRY"),
    entry("4308", "4308", false, &[part(Set82, 1, 30, false, &[])], "00", "", "SHIP TO PHONE"),
    entry("4309", "4309", false, &[part(Digits, 10, 10, false, &[Latitude]), part(Digits, 10, 10, false, &[Longitude])], "00", "", "SHIP TO GEO"),
    entry("4310", "4310", false, &[part(Set82, 1, 35, false, &[PercentEncoded])], "00", "", "RTN TO COMP"),
    entry("4311", "4311", false, &[part(Set82, 1, 35, false, &[PercentEncoded])], "00", "", "RTN TO NAME"),
    entry("4312", "4312", false, &[part(Set82, 1, 70, false, &[PercentEncoded])], "00", "", "RTN TO ADD1"),
    entry("4313", "4313", false, &[part(Set82, 1, 70, false, &[PercentEncoded])], "4312", "", "RTN TO ADD2"),
    entry("4314", "4314", false, &[part(Set82, 1, 70, false, &[PercentEncoded])], "00", "", "RTN TO SUB"),
    entry("4315", "4315", false, &[part(Set82, 1, 70, false, &[PercentEncoded])], "00", "", "RTN TO LOC"),
    entry("4316", "4316", false, &[part(Set82, 1, 70, false, &[PercentEncoded])], "00", "", "RTN TO REG"),
    entry("4317", "4317", false, &[part(Set82, 2, 2, false, &[CountryLetters])], "00", "", "RTN TO COUNTRY"),
    entry("4318", "4318", false, &[part(Set82, 1, 20, false, &[])], "00", "", "RTN TO POST"),
    entry("4319", "4319", false, &[part(Set82, 1, 30, false, &[])], "00", "", "RTN TO PHONE"),
    entry("4320", "4320", false, &[part(Set82, 1, 35, false, &[PercentEncoded])], "00", "", "SRV DESCRIPTION"),
    entry("4321", "4321", false, &[part(Digits, 1, 1, false, &[YesNo])], "00", "", "DANGEROUS GOODS"),
    entry("4322", "4322", false, &[part(Digits, 1, 1, false, &[YesNo])], "00", "", "AUTH TO LEAVE"),
    entry("4323", "4323", false, &[part(Digits, 1, 1, false, &[YesNo])], "00", "", "SIG REQUIRED"),
    entry("4324", "4324", false, &[part(Digits, 6, 6, false, &[DateDayZero]), part(Digits, 4, 4, false, &[HourMinute])], "00", "", "NOT BEF DEL DT"),
    entry("4325", "4325", false, &[part(Digits, 6, 6, false, &[DateDayZero]), part(Digits, 4, 4, false, &[HourMinute])], "00", "", "NOT AFT DEL DT"),
    entry("4326", "4326", false, &[part(Digits, 6, 6, false, &[Date])], "00", "", "REL DATE"),
    entry("4330", "4330", false, &[part(Digits, 6, 6, false, &[]), part(Set82, 1, 1, true, &[Minus])], "00", "4331", "MAX TEMP F."),
    entry("4331", "4331", false, &[part(Digits, 6, 6, false, &[]), part(Set82, 1, 1, true, &[Minus])], "00", "4330", "MAX TEMP C."),
    entry("4332", "4332", false, &[part(Digits, 6, 6, false, &[]), part(Set82, 1, 1, true, &[Minus])], "00", "4333", "MIN TEMP F."),
    entry("4333", "4333", false, &[part(Digits, 6, 6, false, &[]), part(Set82, 1, 1, true, &[Minus])], "00", "4332", "MIN TEMP C."),
    entry("7001", "7001", false, &[part(Digits, 13, 13, false, &[])], "01,02,8006,8026", "", "NSN"),
    entry("7002", "7002", false, &[part(Set82, 1, 30, false, &[])], "01,02", "", "MEAT CUT"),
    entry("7003", "7003", false, &[part(Digits, 6, 6, false, &[Date]), part(Digits, 4, 4, false, &[HourMinute])], "01,02,03", "", "EXPIRY TIME"),
    entry("7004", "7004", false, &[part(Digits, 1, 4, false, &[])], "01+10,03+10", "", "ACTIVE POTENCY"),
    entry("7005", "7005", false, &[part(Set82, 1, 12, false, &[])], "01,02", "", "CATCH AREA"),
    entry("7006", "7006", false, &[part(Digits, 6, 6, false, &[Date])], "01,02", "", "FIRST FREEZE DATE"),
    entry("7007", "7007", false, &[part(Digits, 6, 6, false, &[Date]), part(Digits, 6, 6, true, &[Date])], "01,02", "", "HARVEST DATE"),
    entry("7008", "7008", false, &[part(Set82, 1, 3, false, &[])], "01,02", "", "AQUATIC SPECIES"),
    entry("7009", "7009", false, &[part(Set82, 1, 10, false, &[])], "01,02", "", "FISHING GEAR TYPE"),
    entry("7010", "7010", false, &[part(Set82, 1, 2, false, &[])], "01,02,03", "", "PROD METHOD"),
    entry("7011", "7011", false, &[part(Digits, 6, 6, false, &[Date]), part(Digits, 4, 4, true, &[HourMinute])], "01,02,03", "", "TEST BY DATE"),
    entry("7020", "7020", false, &[part(Set82, 1, 20, false, &[])], "01+416,03+416,8006+416", "", "REFURB LOT"),
    entry("7021", "7021", false, &[part(Set82, 1, 20, false, &[])], "01,03,8006", "", "FUNC STAT"),
    entry("7022", "7022", false, &[part(Set82, 1, 20, false, &[])], "01+7021,03+7021,8006+7021", "", "REV STAT"),
    entry("7023", "7023", false, &[part(Set82, 1, 30, false, &[PrefixFirst])], "", "", "GIAI - ASSEMBLY"),
    entry("7030", "7030", false, &[part(Digits, 3, 3, false, &[CountryOr999]), part(Set82, 1, 27, false, &[])], "01,02", "", "PROCESSOR # 0"),
    entry("7031", "7031", false, &[part(Digits, 3, 3, false, &[CountryOr999]), part(Set82, 1, 27, false, &[])], "01,02", "", "PROCESSOR # 1"),
    entry("7032", "7032", false, &[part(Digits, 3, 3, false, &[CountryOr999]), part(Set82, 1, 27, false, &[])], "01,02", "", "PROCESSOR # 2"),
    entry("7033", "7033", false, &[part(Digits, 3, 3, false, &[CountryOr999]), part(Set82, 1, 27, false, &[])], "01,02", "", "PROCESSOR # 3"),
    entry("7034", "7034", false, &[part(Digits, 3, 3, false, &[CountryOr999]), part(Set82, 1, 27, false, &[])], "01,02", "", "PROCESSOR # 4"),
    entry("7035", "7035", false, &[part(Digits, 3, 3, false, &[CountryOr999]), part(Set82, 1, 27, false, &[])], "01,02", "", "PROCESSOR # 5"),
    entry("7036", "7036", false, &[part(Digits, 3, 3, false, &[CountryOr999]), part(Set82, 1, 27, false, &[])], "01,02", "", "PROCESSOR # 6"),
    entry("7037", "7037", false, &[part(Digits, 3, 3, false, &[CountryOr999]), part(Set82, 1, 27, false, &[])], "01,02", "", "PROCESSOR # 7"),
    entry("7038", "7038", false, &[part(Digits, 3, 3, false, &[CountryOr999]), part(Set82, 1, 27, false, &[])], "01,02", "", "PROCESSOR # 8"),
    entry("7039", "7039", false, &[part(Digits, 3, 3, false, &[CountryOr999]), part(Set82, 1, 27, false, &[])], "01,02", "", "PROCESSOR # 9"),
    entry("7040", "7040", false, &[part(Digits, 1, 1, false, &[]), part(Set82, 1, 1, false, &[]), part(Set82, 1, 1, false, &[]), part(Set82, 1, 1, false, &[ImporterIndex])], "", "", "UIC+EXT"),
    entry("7041", "7041", false, &[part(Set82, 1, 4, false, &[PackageType])], "00", "", "UFRGT UNIT TYPE"),
    entry("710", "710", false, &[part(Set82, 1, 20, false, &[])], "01", "", "NHRN PZN"),
    entry("711", "711", false, &[part(Set82, 1, 20, false, &[])], "01", "", "NHRN CIP"),
    entry("712", "712", false, &[part(Set82, 1, 20, false, &[])], "01", "", "NHRN CN"),
    entry("713", "713", false, &[part(Set82, 1, 20, false, &[])], "01", "", "NHRN DRN"),
    entry("714", "714", false, &[part(Set82, 1, 20, false, &[])], "01", "", "NHRN AIM"),
    entry("715", "715", false, &[part(Set82, 1, 20, false, &[])], "01", "", "NHRN NDC"),
    entry("716", "716", false, &[part(Set82, 1, 20, false, &[])], "01", "", "NHRN AIC"),
    entry("717", "717", false, &[part(Set82, 1, 20, false, &[])], "01", "", "NHRN SRN"),
    entry("7230", "7230", false, &[part(Set82, 2, 2, false, &[]), part(Set82, 1, 28, false, &[])], "01,8004", "", "CERT # 1"),
    entry("7231", "7231", false, &[part(Set82, 2, 2, false, &[]), part(Set82, 1, 28, false, &[])], "01,8004", "", "CERT # 2"),
    entry("7232", "7232", false, &[part(Set82, 2, 2, false, &[]), part(Set82, 1, 28, false, &[])], "01,8004", "", "CERT # 3"),
    entry("7233", "7233", false, &[part(Set82, 2, 2, false, &[]), part(Set82, 1, 28, false, &[])], "01,8004", "", "CERT # 4"),
    entry("7234", "7234", false, &[part(Set82, 2, 2, false, &[]), part(Set82, 1, 28, false, &[])], "01,8004", "", "CERT # 5"),
    entry("7235", "7235", false, &[part(Set82, 2, 2, false, &[]), part(Set82, 1, 28, false, &[])], "01,8004", "", "CERT # 6"),
    entry("7236", "7236", false, &[part(Set82, 2, 2, false, &[]), part(Set82, 1, 28, false, &[])], "01,8004", "", "CERT # 7"),
    entry("7237", "7237", false, &[part(Set82, 2, 2, false, &[]), part(Set82, 1, 28, false, &[])], "01,8004", "", "CERT # 8"),
    entry("7238", "7238", false, &[part(Set82, 2, 2, false, &[]), part(Set82, 1, 28, false, &[])], "01,8004", "", "CERT # 9"),
    entry("7239", "7239", false, &[part(Set82, 2, 2, false, &[]), part(Set82, 1, 28, false, &[])], "01,8004", "", "CERT # 10"),
    entry("7240", "7240", false, &[part(Set82, 1, 20, false, &[])], "01,8006", "03", "PROTOCOL"),
    entry("7241", "7241", false, &[part(Digits, 2, 2, false, &[MediaType])], "8017,8018", "", "AIDC MEDIA TYPE"),
    entry("7242", "7242", false, &[part(Set82, 1, 25, false, &[])], "8017,8018", "", "VCN"),
    entry("7250", "7250", false, &[part(Digits, 8, 8, false, &[LongDate])], "8018", "7251", "DOB"),
    entry("7251", "7251", false, &[part(Digits, 8, 8, false, &[LongDate]), part(Digits, 4, 4, false, &[HourMinute])], "8018", "7250", "DOB TIME"),
    entry("7252", "7252", false, &[part(Digits, 1, 1, false, &[Sex])], "8018", "", "BIO SEX"),
    entry("7253", "7253", false, &[part(Set82, 1, 40, false, &[PercentEncoded])], "8017,8018", "7256,7259", "FAMILY NAME"),
    entry("7254", "7254", false, &[part(Set82, 1, 40, false, &[PercentEncoded])], "8017,8018", "7256,7259", "GIVEN NAME"),
    entry("7255", "7255", false, &[part(Set82, 1, 10, false, &[])], "8017,8018", "7256,7259", "SUFFIX"),
    entry("7256", "7256", false, &[part(Set82, 1, 90, false, &[PercentEncoded])], "8017,8018", "", "FULL NAME"),
    entry("7257", "7257", false, &[part(Set82, 1, 70, false, &[PercentEncoded])], "8018", "", "PERSON ADDR"),
    entry("7258", "7258", false, &[part(Set82, 3, 3, false, &[PositionInSequence])], "8018+7259", "", "BIRTH SEQUENCE"),
    entry("7259", "7259", false, &[part(Set82, 1, 40, false, &[PercentEncoded])], "8018", "7256", "BABY"),
    entry("8001", "8001", false, &[part(Digits, 4, 4, false, &[NotZero]), part(Digits, 5, 5, false, &[NotZero]), part(Digits, 3, 3, false, &[NotZero]), part(Digits, 1, 1, false, &[Winding]), part(Digits, 1, 1, false, &[])], "01", "", "DIMENSIONS"),
    entry("8002", "8002", false, &[part(Set82, 1, 20, false, &[])], "", "", "CMT No."),
    entry("8003", "8003", false, &[part(Digits, 1, 1, false, &[Zero]), part(Digits, 13, 13, false, &[Digit, PrefixFirst]), part(Set82, 1, 16, true, &[])], "", "", "GRAI"),
    entry("8004", "8004", false, &[part(Set82, 1, 30, false, &[PrefixFirst])], "", "", "GIAI"),
    entry("8005", "8005", false, &[part(Digits, 6, 6, false, &[])], "01,02", "", "PRICE PER UNIT"),
    entry("8006", "8006", false, &[part(Digits, 14, 14, false, &[Digit, PrefixSecond]), part(Digits, 4, 4, false, &[PieceOfTotal])], "", "01,03,37", "ITIP"),
    entry("8007", "8007", false, &[part(Set82, 1, 34, false, &[Iban])], "415", "", "IBAN"),
    entry("8008", "8008", false, &[part(Digits, 6, 6, false, &[Date]), part(Digits, 2, 2, false, &[Hour]), part(Digits, 2, 2, true, &[Minute]), part(Digits, 2, 2, true, &[Second])], "01,02,03", "", "PROD TIME"),
    entry("8009", "8009", false, &[part(Set82, 1, 50, false, &[])], "00,01,03", "", "OPTSEN"),
    entry("8010", "8010", false, &[part(Set39, 1, 30, false, &[PrefixFirst])], "", "", "CPID"),
    entry("8011", "8011", false, &[part(Digits, 1, 12, false, &[NoLeadingZero])], "8010", "", "CPID SERIAL"),
    entry("8012", "8012", false, &[part(Set82, 1, 20, false, &[])], "01,03,8006", "", "VERSION"),
    entry("8013", "8013", false, &[part(Set82, 1, 25, false, &[Pair, PrefixFirst])], "", "", "GMN"),
    entry("8014", "8014", false, &[part(Set82, 1, 25, false, &[Pair, PrefixFirst, HasNonDigit])], "01", "", "MUDI"),
    entry("8017", "8017", false, &[part(Digits, 18, 18, false, &[Digit, PrefixFirst])], "", "8018", "GSRN - PROVIDER"),
    entry("8018", "8018", false, &[part(Digits, 18, 18, false, &[Digit, PrefixFirst])], "", "8017", "GSRN - RECIPIENT"),
    entry("8019", "8019", false, &[part(Digits, 1, 10, false, &[])], "8017,8018", "", "SRIN"),
    entry("8020", "8020", false, &[part(Set82, 1, 25, false, &[])], "415", "", "REF No."),
    entry("8026", "8026", false, &[part(Digits, 14, 14, false, &[Digit, PrefixSecond]), part(Digits, 4, 4, false, &[PieceOfTotal])], "37", "02,03,8006", "ITIP CONTENT"),
    entry("8030", "8030", false, &[part(Base64Url, 1, 90, false, &[])], "00,01+21,03+21,253,255,8003,8004,8006+21,8010+8011,8017,8018", "", "DIGSIG"),
    entry("8040", "8040", false, &[part(Digits, 15, 15, false, &[])], "01+21", "", "IMEI"),
    entry("8041", "8041", false, &[part(Digits, 15, 15, false, &[])], "01+21+8040", "", "IMEI2"),
    entry("8042", "8042", false, &[part(Digits, 32, 32, false, &[])], "01+21+8040", "", "ESIM"),
    entry("8043", "8043", false, &[part(Digits, 18, 18, false, &[]), part(Digits, 1, 2, true, &[])], "01+21+8040", "", "PSIM"),
    entry("8110", "8110", false, &[part(Set82, 1, 70, false, &[Coupon])], "", "", ""),
    entry("8111", "8111", false, &[part(Digits, 4, 4, false, &[])], "255", "", "POINTS"),
    entry("8112", "8112", false, &[part(Set82, 1, 70, false, &[PositiveOffer])], "", "", ""),
    entry("8200", "8200", false, &[part(Set82, 1, 70, false, &[])], "01", "", "PRODUCT URL"),
    entry("90", "90", false, &[part(Set82, 1, 30, false, &[])], "", "", "INTERNAL"),
    entry("91", "99", false, &[part(Set82, 1, 90, false, &[])], "", "", "INTERNAL"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_no_identifier_begins_another() {
        for pair in TABLE.windows(2) {
            assert!(pair[0].last < pair[1].first, "{} {}", pair[0].last, pair[1].first);
        }
        for entry in TABLE {
            let found = starting(&format!("{}000000", entry.first)).unwrap();
            assert_eq!(found.0.first, entry.first);
        }
        assert!(find("89").is_none() && find("3106").is_none() && find("310").is_none() && find("01a").is_none());
        assert_eq!(find("3103").unwrap().title, "NET WEIGHT (kg)");
    }
}
