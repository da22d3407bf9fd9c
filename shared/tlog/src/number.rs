//! Numbers as logs write them.

/// Decimal digits without a sign or leading zeros, up to 2^63 - 1.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    let canonical = text == "0" || !text.starts_with('0');
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = (canonical && digits).then(|| text.parse::<i64>().ok())??;
    u64::try_from(number).ok()
}
