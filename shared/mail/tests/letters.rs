//! Letters as they are printed, at home and abroad.

#![allow(clippy::unwrap_used)]

mod common;

use common::policy;
use jiff::civil::Date;
use proptest::prelude::*;
use vestibule_domain::ids::MessageId;
use vestibule_domain::letter::{Letter, LetterText};
use vestibule_domain::policy::Policy;
use vestibule_domain::text::{AddressLine, Country, PostalAddress, Sensitive};
use vestibule_mail::letters::render;

fn address(lines: &[&str], city: &str, region: &str, code: &str, country: &str) -> PostalAddress {
    let line = |text: &&str| AddressLine::parse(text).unwrap();
    PostalAddress {
        addressee: line(&lines[0]),
        lines: lines[1..].iter().map(line).collect(),
        city: line(&city),
        region: AddressLine::parse(region).ok(),
        postal_code: AddressLine::parse(code).ok(),
        country: Country::parse(country).unwrap(),
    }
}

fn letter(
    policy: &Policy,
    to: PostalAddress,
    greeting: &str,
    organisation: Option<&str>,
) -> Letter {
    Letter {
        id: MessageId::from_bytes([7; 16]),
        portal: policy.portal.clone(),
        to,
        dated: Date::constant(2025, 12, 23),
        says: LetterText::Pin {
            greeting: greeting.into(),
            organisation: organisation.map(str::to_owned),
            pin: Sensitive::new("4071"),
            usable_until: Date::constant(2026, 2, 21),
        },
    }
}

fn check(name: &str, letter: &Letter, policy: &Policy) {
    let rendered = render(letter, policy);
    for part in [&rendered.text, &rendered.html] {
        let desk = &policy.help_desk;
        for named in [
            &policy.title,
            &policy.plan.name,
            &desk.name,
            &desk.phone,
            &desk.hours,
        ] {
            assert!(part.contains(named.as_str()), "{named}\n{part}");
        }
        assert!(part.contains(&format!("{}/pin", policy.site)), "{part}");
    }
    insta::assert_snapshot!(format!("{name}.txt"), rendered.text);
    insta::assert_snapshot!(format!("{name}.html"), rendered.html);
}

#[test]
fn me_06_a_member_at_home() {
    let policy = policy("member");
    let to = address(
        &["Grace Hopper", "1 Elm Street", "Apt. 4"],
        "Springfield",
        "IL",
        "62701-1234",
        "US",
    );
    check(
        "member_at_home",
        &letter(&policy, to, "Grace Hopper", None),
        &policy,
    );
}

#[test]
fn me_06_a_member_abroad() {
    let policy = policy("member");
    let to = address(
        &["Jürgen Groß", "Rosenthaler Straße 40-41", "Hinterhaus"],
        "Berlin",
        "",
        "10178",
        "DE",
    );
    check(
        "member_abroad",
        &letter(&policy, to, "Jürgen Groß", None),
        &policy,
    );
}

#[test]
fn bl_03_an_organisation() {
    let policy = policy("provider");
    let to = address(
        &[
            "Hopper & Sons Billing, LLC",
            "Attn: Grace Hopper",
            "1500 West Lake Street",
            "Suite 1200",
        ],
        "Chicago",
        "IL",
        "60601",
        "US",
    );
    check(
        "organisation_at_home",
        &letter(
            &policy,
            to,
            "Grace Hopper",
            Some("Hopper & Sons Billing, LLC"),
        ),
        &policy,
    );
}

#[test]
fn a_plan_abroad_prints_on_its_own_paper() {
    let text = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../infra/portals/provider.toml"
    ))
    .unwrap();
    let text = text.replace("home_country = \"US\"", "home_country = \"DE\"");
    let policy = Policy::parse(policy("provider").portal, "provider.toml", &text).unwrap();
    let to = address(
        &[
            "Gemeinschaftspraxis Dr. Wolfeschlegelsteinhausen und Partner",
            "Abteilung Abrechnung, Haus B, 3. Obergeschoss",
            "c/o Frau Dr. Anneliese Müller-Lüdenscheidt-Hoppenstedt",
            "Rosenthaler Straße 40-41",
        ],
        "London",
        "Greater London",
        "SW1A 1AA",
        "GB",
    );
    check(
        "long_address",
        &letter(
            &policy,
            to,
            "Anneliese Müller-Lüdenscheidt",
            Some("Gemeinschaftspraxis Dr. Wolfeschlegelsteinhausen und Partner"),
        ),
        &policy,
    );
}

#[test]
fn hostile_names_stay_names() {
    let policy = policy("provider");
    let name = "<script>alert(1)</script>";
    let to = address(&[name, name], name, name, name, "US");
    let rendered = render(
        &letter(&policy, to, "Eve\n\nYour PIN: 0000 <script>", Some(name)),
        &policy,
    );
    assert!(!rendered.html.contains("<script"), "{}", rendered.html);
    assert!(
        !rendered
            .text
            .lines()
            .any(|l| l.starts_with("Your PIN: 0000")),
        "{}",
        rendered.text
    );
    assert_eq!(format!("{rendered:?}"), "RenderedLetter(***)");
}

proptest! {
    #[test]
    fn any_letter_can_be_written(
        lines in proptest::collection::vec("\\PC{0,60}", 5),
        country in proptest::sample::select(&["US", "DE", "GB", "CA", "JP", "HK", "PR", "BR", "IE", "MX"][..]),
        name in "[\\s\\S]{0,60}",
        pin in "[\\s\\S]{0,20}",
        day in (-9999i16..=9999).prop_map(|y| Date::new(y, 1, 1).unwrap()),
    ) {
        let parts: Vec<_> = lines.iter().filter_map(|l| AddressLine::parse(l).ok()).collect();
        prop_assume!(parts.len() >= 2);
        let to = PostalAddress {
            addressee: parts[0].clone(),
            city: parts[1].clone(),
            region: parts.get(2).cloned(),
            postal_code: parts.get(3).cloned(),
            lines: parts.into_iter().skip(4).collect(),
            country: Country::parse(country).unwrap(),
        };
        let policy = policy("provider");
        let mut letter = letter(&policy, to, &name, Some(&name));
        letter.dated = day;
        letter.says = LetterText::Pin { greeting: name, organisation: None, pin: Sensitive::new(pin), usable_until: day };
        let rendered = render(&letter, &policy);
        prop_assert!(!rendered.text.chars().any(|c| c.is_control() && c != '\n'));
        prop_assert!(!rendered.html.chars().any(|c| c.is_control() && c != '\n'));
    }
}
