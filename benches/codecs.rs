//! Codecs in MB/s and strings/s, the HL7 reader beside a published crate on the same bytes in the same run.
//! `cargo bench`; ratios within one run are what counts.
#![expect(clippy::unwrap_used, reason = "a bench may fail loudly")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use wardd::codec::hl7::{Message, Path};
use wardd::codec::{epc, gs1, lis2};

/// Runs a piece of work for half a second; how often a second.
fn rate(mut work: impl FnMut()) -> f64 {
    (0..50).for_each(|_| work());
    let (began, mut count) = (Instant::now(), 0_u32);
    while began.elapsed() < Duration::from_millis(500) {
        (0..20).for_each(|_| work());
        count += 20;
    }
    f64::from(count) / began.elapsed().as_secs_f64()
}

fn oru() -> String {
    let mut message = "MSH|^~\\&|LIS|LAB|WARDD|HOSP|20260101120000||ORU^R01^ORU_R01|000000000017|P|2.5.1\rPID|1||1000001^^^WARDD^MR||DOE^JANE^Q||19700101|F\rOBR|1||26112100017|24323-8^PANEL^LN|||20260101120000\r".to_owned();
    for number in 1..=8 {
        message += &format!("OBX|{number}|NM|2345-7^GLUCOSE^LN||{}.5|mg/dL|70-110|N|||F|||20260101120000||00001^TECH\r", 80 + number);
    }
    message
}

fn main() {
    let message = oru();
    let megabytes = message.len() as f64 / 1e6;
    let places = [Path::field(b"MSH", 10), Path::field(b"PID", 3).component(1), Path::field(b"PID", 5).component(1)];
    let ours = rate(|| {
        let parsed = Message::parse(message.as_bytes()).unwrap();
        places.iter().for_each(|place| drop(black_box(parsed.text(place))));
    });
    let published = rate(|| {
        let parsed = hl7kit::Message::parse_bytes(message.as_bytes()).unwrap();
        ["MSH-10", "PID-3.1", "PID-5.1"].iter().for_each(|place| drop(black_box(parsed.get_decoded(place))));
    });
    println!("hl7   parse and read three fields: {:.0} MB/s, hl7kit 0.2.0 {:.0} MB/s, ratio {:.1}", ours * megabytes, published * megabytes, ours / published);

    let records = "H|\\^&|||XN-550\rP|1\rO|1|26112100017\r".to_owned() + &"R|1|^^^^WBC^1|5.24|10*3/uL||N||F||||20260101120000\r".repeat(20) + "L|1|N\r";
    let astm = rate(|| {
        let parsed = lis2::Message::parse(records.as_bytes()).unwrap();
        parsed.records().iter().for_each(|record| drop(black_box(record.text(4, 1))));
    });
    println!("lis2  parse and read each value: {:.0} MB/s", astm * records.len() as f64 / 1e6);
    let package = "]d20109506682101352172812001\x30L7\x1d219876543210";
    println!("gs1   element strings, four a scan: {:.0}/s", 4.0 * rate(|| drop(black_box(gs1::scan(package).unwrap()))));
    println!("epc   96-bit tags: {:.0}/s", rate(|| drop(black_box(epc::Tag::from_hex("3074257BF7194E4000001A85").unwrap()))));
}
