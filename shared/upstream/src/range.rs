//! The address ranges that are not the public internet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why an address is not an ordinary public one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpecialRange {
    /// `0.0.0.0/8`, `::`.
    Unspecified,
    /// `127.0.0.0/8`, `::1`.
    Loopback,
    /// RFC 1918, `fc00::/7`, and the retired site-local `fec0::/10`.
    Private,
    /// `169.254.0.0/16`, `fe80::/10`; cloud metadata services live here.
    LinkLocal,
    /// Carrier-grade NAT, `100.64.0.0/10`.
    Shared,
    /// `224.0.0.0/4`, `ff00::/8`.
    Multicast,
    /// `255.255.255.255`.
    Broadcast,
    /// Documentation prefixes.
    Documentation,
    /// Benchmarking, `198.18.0.0/15`, `2001:2::/48`.
    Benchmarking,
    /// An IPv6 address that stands for an IPv4 one: compatible, NAT64, 6to4, Teredo, and the 6to4 relay prefix.
    Translated,
    /// Everything else that IANA has not given out as public unicast.
    Reserved,
}

impl SpecialRange {
    /// The word for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::Loopback => "loopback",
            Self::Private => "private",
            Self::LinkLocal => "link-local",
            Self::Shared => "carrier-grade NAT",
            Self::Multicast => "multicast",
            Self::Broadcast => "broadcast",
            Self::Documentation => "documentation",
            Self::Benchmarking => "benchmarking",
            Self::Translated => "translated IPv4",
            Self::Reserved => "reserved",
        }
    }
}

impl std::fmt::Display for SpecialRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The special range that an address is in; `None` for public unicast. A mapped IPv4 address is judged as the IPv4 one.
pub(crate) fn special_range(address: IpAddr) -> Option<SpecialRange> {
    match address.to_canonical() {
        IpAddr::V4(v4) => special_v4(v4),
        IpAddr::V6(v6) => special_v6(v6),
    }
}

/// (prefix, length, range); the first match counts.
const V4: [([u8; 4], u32, SpecialRange); 17] = [
    ([0, 0, 0, 0], 8, SpecialRange::Unspecified),
    ([10, 0, 0, 0], 8, SpecialRange::Private),
    ([100, 64, 0, 0], 10, SpecialRange::Shared),
    ([127, 0, 0, 0], 8, SpecialRange::Loopback),
    ([169, 254, 0, 0], 16, SpecialRange::LinkLocal),
    ([172, 16, 0, 0], 12, SpecialRange::Private),
    ([192, 0, 0, 0], 24, SpecialRange::Reserved),
    ([192, 0, 2, 0], 24, SpecialRange::Documentation),
    ([192, 52, 193, 0], 24, SpecialRange::Reserved),
    ([192, 88, 99, 0], 24, SpecialRange::Translated),
    ([192, 168, 0, 0], 16, SpecialRange::Private),
    ([198, 18, 0, 0], 15, SpecialRange::Benchmarking),
    ([198, 51, 100, 0], 24, SpecialRange::Documentation),
    ([203, 0, 113, 0], 24, SpecialRange::Documentation),
    ([224, 0, 0, 0], 4, SpecialRange::Multicast),
    ([255, 255, 255, 255], 32, SpecialRange::Broadcast),
    ([240, 0, 0, 0], 4, SpecialRange::Reserved),
];

fn special_v4(address: Ipv4Addr) -> Option<SpecialRange> {
    let bits = address.to_bits();
    V4.iter()
        .find(|(prefix, length, _)| (bits ^ u32::from_be_bytes(*prefix)) >> (32 - length) == 0)
        .map(|(_, _, range)| *range)
}

/// (prefix, length, range); the first match counts.
const V6: [([u16; 8], u32, SpecialRange); 13] = [
    ([0; 8], 128, SpecialRange::Unspecified),
    ([0, 0, 0, 0, 0, 0, 0, 1], 128, SpecialRange::Loopback),
    ([0; 8], 96, SpecialRange::Translated),
    ([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 32, SpecialRange::Translated),
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 32, SpecialRange::Translated),
    ([0x2001, 2, 0, 0, 0, 0, 0, 0], 48, SpecialRange::Benchmarking),
    ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, SpecialRange::Documentation),
    ([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, SpecialRange::Translated),
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, SpecialRange::Documentation),
    ([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, SpecialRange::Private),
    ([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, SpecialRange::LinkLocal),
    ([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, SpecialRange::Private),
    ([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, SpecialRange::Multicast),
];

fn special_v6(address: Ipv6Addr) -> Option<SpecialRange> {
    let within = |prefix: [u16; 8], length: u32| {
        (address.to_bits() ^ Ipv6Addr::from(prefix).to_bits()).checked_shr(128 - length).unwrap_or(0) == 0
    };
    let listed = V6.iter().find(|(prefix, length, _)| within(*prefix, *length)).map(|(_, _, range)| *range);
    let public = within([0x2000, 0, 0, 0, 0, 0, 0, 0], 3) && !within([0x2001, 0, 0, 0, 0, 0, 0, 0], 23);
    listed.or((!public).then_some(SpecialRange::Reserved))
}
