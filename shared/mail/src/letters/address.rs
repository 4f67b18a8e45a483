//! Formats a postal address in the style of its country.

use vestibule_domain::values::text::{Country, PostalAddress};

use crate::words::one_line;

/// The order of city, region and postal code.
enum Order {
    /// `Springfield, IL 62701`
    CommaRegionCode,
    /// `Ottawa ON K1A 0B1`, `Wellington 6011`
    TownRegionCode,
    /// `London`, then `SW1A 1AA` on the next line
    CodeBelow,
    /// `10115 Berlin`
    CodeFirst,
}

fn order(country: &Country) -> Order {
    match country.as_str() {
        "US" | "AS" | "FM" | "GU" | "MH" | "MP" | "PR" | "PW" | "UM" | "VI" => {
            Order::CommaRegionCode
        }
        "AU" | "CA" | "ID" | "IN" | "JP" | "KR" | "NZ" | "SG" | "TH" | "TW" => {
            Order::TownRegionCode
        }
        "GB" | "GG" | "GI" | "IE" | "IM" | "JE" | "ZA" => Order::CodeBelow,
        _ => Order::CodeFirst,
    }
}

/// Returns the lines of an address for a letter mailed from `home`.
///
/// An international address ends with the country in English capitals, as the postal service of
/// the sending country requires.
pub(super) fn lines(address: &PostalAddress, home: &Country) -> Vec<String> {
    let clean = |line: &str| Some(one_line(line)).filter(|l| !l.is_empty());
    let town = clean(address.city.as_str());
    let region = address.region.as_ref().and_then(|r| clean(r.as_str()));
    let code = address.postal_code.as_ref().and_then(|c| clean(c.as_str()));
    let join = |parts: [&Option<String>; 2], between: &str| {
        let parts: Vec<_> = parts.into_iter().flatten().map(String::as_str).collect();
        Some(parts.join(between)).filter(|l| !l.is_empty())
    };
    let mut lines = vec![clean(address.addressee.as_str())];
    lines.extend(address.lines.iter().map(|l| clean(l.as_str())));
    match order(&address.country) {
        Order::CommaRegionCode => {
            // USPS addresses the territories of the United States like states.
            let territory = Some(address.country.as_str().to_owned()).filter(|c| c != "US");
            lines.push(join(
                [&town, &join([&region.or(territory), &code], " ")],
                ", ",
            ));
        }
        Order::TownRegionCode => lines.push(join([&town, &join([&region, &code], " ")], " ")),
        Order::CodeBelow => lines.extend([town, region, code]),
        Order::CodeFirst => lines.push(join([&join([&code, &town], " "), &region], ", ")),
    }
    if !is_domestic(&address.country, home) {
        lines.push(Some(address.country.name().to_uppercase()));
    }
    lines.into_iter().flatten().collect()
}

/// Returns whether the postal service of `home` treats the letter as domestic mail.
fn is_domestic(country: &Country, home: &Country) -> bool {
    let united_states = |c: &Country| matches!(order(c), Order::CommaRegionCode);
    home == country || (united_states(home) && united_states(country))
}

#[cfg(test)]
mod tests {
    use super::*;
    use vestibule_domain::values::text::{AddressLine, Addressee};

    fn printed(town: &str, region: &str, code: &str, country: &str) -> Vec<String> {
        let line = |text: &str| AddressLine::parse(text).unwrap();
        let address = PostalAddress {
            addressee: Addressee::parse("Ada Byron").unwrap(),
            lines: vec![line("1 Main St")],
            city: line(town),
            region: AddressLine::parse(region).ok(),
            postal_code: AddressLine::parse(code).ok(),
            country: Country::parse(country).unwrap(),
        };
        let mut lines = lines(&address, &Country::parse("US").unwrap());
        assert_eq!(
            lines.drain(..2).collect::<Vec<_>>(),
            ["Ada Byron", "1 Main St"]
        );
        lines
    }

    #[test]
    fn each_country_has_its_order() {
        for (town, region, code, country, expected) in [
            (
                "Springfield",
                "IL",
                "62701",
                "US",
                vec!["Springfield, IL 62701"],
            ),
            ("San Juan", "", "00901", "PR", vec!["San Juan, PR 00901"]),
            (
                "Ottawa",
                "ON",
                "K1A 0B1",
                "CA",
                vec!["Ottawa ON K1A 0B1", "CANADA"],
            ),
            (
                "London",
                "",
                "SW1A 1AA",
                "GB",
                vec!["London", "SW1A 1AA", "UNITED KINGDOM"],
            ),
            ("Berlin", "", "10115", "DE", vec!["10115 Berlin", "GERMANY"]),
            (
                "Guadalajara",
                "Jal.",
                "44100",
                "MX",
                vec!["44100 Guadalajara, Jal.", "MEXICO"],
            ),
            ("Abidjan", "", "", "CI", vec!["Abidjan", "CÔTE D'IVOIRE"]),
        ] {
            assert_eq!(printed(town, region, code, country), expected, "{country}");
        }
    }
}
