//! The IP address that a request comes from, and the networks that stand for it. Every spelling of an
//! address is the same one, and an IPv4 address in its IPv6 form is the IPv4 address.

use std::net::{IpAddr, Ipv6Addr};

fn parse(source: &str) -> Option<IpAddr> {
    source.parse().ok().map(|ip: IpAddr| ip.to_canonical())
}

/// Returns the smallest network that belongs to one customer: an IPv4 address, or the /64 of an IPv6
/// address (SE-09).
pub fn customer_of(source: &str) -> String {
    match parse(source) {
        Some(IpAddr::V6(ip)) => {
            let [a, b, c, d, ..] = ip.segments();
            format!("{}/64", Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        Some(ip) => ip.to_string(),
        None => source.to_owned(),
    }
}

/// Returns the network in which a provider may assign any address to the same customer: /24 for IPv4,
/// /48 for IPv6 (EX-01).
pub fn network_of(source: &str) -> String {
    match parse(source) {
        Some(IpAddr::V4(ip)) => format!("{:?}", &ip.octets()[..3]),
        Some(IpAddr::V6(ip)) => format!("{:?}", &ip.segments()[..3]),
        None => source.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn se_09_every_spelling_and_every_address_of_a_64_network_is_one_customer() {
        for (source, customer) in [
            ("198.51.100.7", "198.51.100.7"),
            ("::ffff:198.51.100.7", "198.51.100.7"),
            ("2001:db8:12:34::1", "2001:db8:12:34::/64"),
            (
                "2001:0DB8:0012:0034:ffff:0000:0000:0001",
                "2001:db8:12:34::/64",
            ),
            ("2001:db8:12:35::1", "2001:db8:12:35::/64"),
            ("not an address", "not an address"),
        ] {
            assert_eq!(customer_of(source), customer, "{source}");
        }
    }
}
