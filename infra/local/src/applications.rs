//! A sample application per portal, which signs its users in by single sign-on and shows what it learns (SO-01). It
//! runs on `localhost` beside the portal on `127.0.0.1`, which is another site for a browser.

/// The path below which the sample applications are served.
pub const PATH: &str = "applications";

/// Returns the address of a portal's sample application.
pub fn address(base: &str, portal: &str) -> String {
    let base = base.replacen("127.0.0.1", "localhost", 1);
    format!("{base}/{PATH}/{portal}")
}
