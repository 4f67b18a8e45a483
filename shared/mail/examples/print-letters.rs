//! Measures the time and memory to render 10,000 PIN letters in PDFs of 5,000 pages each.
//!
//! `cargo run --release -p vestibule-mail --example print-letters`

#![allow(clippy::unwrap_used, reason = "a measurement")]

use std::fs;

use jiff::civil::Date;
use vestibule_domain::outbox::letter::{Letter, LetterText};
use vestibule_domain::policy::Policy;
use vestibule_domain::values::ids::{AccountId, MessageId, PortalId};
use vestibule_domain::values::text::{AddressLine, Addressee, Country, PostalAddress, Sensitive};
use vestibule_mail::letters::{lay_out, pdf};

#[allow(clippy::disallowed_methods, reason = "this measures time")]
fn main() {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../infra/portals/member.toml"
    );
    let portal = PortalId::parse("member").unwrap();
    let policy = Policy::parse(portal.clone(), file, &fs::read_to_string(file).unwrap()).unwrap();
    let line = |text: &str| AddressLine::parse(text).unwrap();
    let letter = |n: u32| Letter {
        id: MessageId::from_bytes(u128::from(n).to_be_bytes()),
        portal: portal.clone(),
        to: PostalAddress {
            addressee: Addressee::parse(&format!("Zoë Núñez {n}")).unwrap(),
            lines: vec![line(&format!("{n} Heronmere Lane"))],
            city: line("Springfield"),
            region: Some(line("IL")),
            postal_code: Some(line("62704")),
            country: Country::parse("US").unwrap(),
        },
        dated: Date::constant(2026, 11, 23),
        text: LetterText::Pin {
            account: AccountId::from_bytes([7; 16]),
            greeting: format!("Zoë Núñez {n}"),
            organization: None,
            pin: Sensitive::new(format!("{:06}", n * 7919 % 1_000_000)),
            expires_on: Date::constant(2027, 1, 22),
        },
    };
    let began = std::time::Instant::now();
    let mut bytes = 0;
    for batch in 0..2 {
        let letters = (0..5_000).map(|n| letter(batch * 5_000 + n));
        let pages: Vec<_> = letters.map(|l| lay_out(&l, &policy).unwrap()).collect();
        bytes += pdf(&pages).unwrap().len();
    }
    let seconds = began.elapsed().as_secs_f64();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status
        .lines()
        .find_map(|l| l.strip_prefix("VmHWM:"))
        .unwrap_or("unknown")
        .trim();
    println!(
        "10,000 letters in {seconds:.1} s: {:.0} a second, {} kB of PDF, peak memory {peak}",
        10_000.0 / seconds,
        bytes / 1024
    );
}
