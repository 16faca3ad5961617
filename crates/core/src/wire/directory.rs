//! The directory of a provider, as it is read: which URL serves which endpoint (readings D-16 to D-18).

use std::collections::HashMap;
use std::time::Duration;

/// How long a directory is used when its answer says nothing (reading D-18).
const DEFAULT_LIFETIME: Duration = Duration::from_secs(60 * 60);

/// How long a directory is used at most (reading D-18).
const LONGEST_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// A parsed directory. Keys that we do not know are its extension point and are ignored.
#[derive(Clone, Debug)]
pub struct Directory(HashMap<String, serde_json::Value>);

impl Directory {
    /// Reads a JSON object.
    ///
    /// # Errors
    ///
    /// [`serde_json::Error`] for anything else.
    pub fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes).map(Self)
    }

    /// The URL of the endpoint called `key`, with the value of each of `variables` for its name; a template may have any of
    /// them, and has at least one. That it is one is not checked. `None` when this provider does not offer it, or not as text.
    ///
    /// # Errors
    ///
    /// [`TemplateError`] when what stands there is no template for this endpoint.
    pub fn url(&self, key: &str, variables: &[(&str, &str)]) -> Result<Option<String>, TemplateError> {
        let template = self.0.get(key).and_then(serde_json::Value::as_str);
        template.map(|template| expand(template, variables)).transpose()
    }

    /// What stands there as text without being a template.
    pub fn address(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(serde_json::Value::as_str)
    }
}

/// How long an answer with this `Cache-Control` is used.
pub fn lifetime(cache_control: Option<&str>) -> Duration {
    let Some(header) = cache_control else { return DEFAULT_LIFETIME };
    let mut lifetime = DEFAULT_LIFETIME;
    for directive in header.split(',').map(|directive| directive.trim().to_ascii_lowercase()) {
        if directive == "no-store" || directive == "no-cache" {
            return Duration::ZERO;
        }
        if let Some(seconds) = directive.strip_prefix("max-age=") {
            lifetime = seconds.trim_matches('"').parse().map_or(Duration::ZERO, Duration::from_secs);
        }
    }
    lifetime.min(LONGEST_LIFETIME)
}

/// Why a template cannot be expanded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A brace without its partner, or an operator of a higher level.
    #[error("URI template is not of level 1")]
    Level,
    /// A variable that the endpoint does not define.
    #[error("URI template has a variable that the endpoint does not define")]
    Unknown,
    /// The endpoint's variable does not occur, so that every room would share one address.
    #[error("URI template lacks the variable of the endpoint")]
    Missing,
}

/// Puts the value of a variable in the place of `{name}`, percent-encoded as a whole; the rest is taken literally (reading
/// D-16).
///
/// # Errors
///
/// [`TemplateError`] when the template has other expressions or none.
fn expand(template: &str, variables: &[(&str, &str)]) -> Result<String, TemplateError> {
    let longest = variables.iter().map(|(_, value)| value.len()).max().unwrap_or_default();
    let mut expanded = String::with_capacity(template.len() + longest * 3);
    let mut found = false;
    let mut rest = template;
    while let Some((literal, expression)) = rest.split_once('{') {
        let (variable, after) = expression.split_once('}').ok_or(TemplateError::Level)?;
        if literal.contains('}') || !variable.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Err(TemplateError::Level);
        }
        let (_, value) = variables.iter().find(|(name, _)| *name == variable).ok_or(TemplateError::Unknown)?;
        expanded.push_str(literal);
        encode_into(&mut expanded, value);
        (found, rest) = (true, after);
    }
    if rest.contains('}') {
        return Err(TemplateError::Level);
    }
    expanded.push_str(rest);
    if found { Ok(expanded) } else { Err(TemplateError::Missing) }
}

fn encode_into(text: &mut String, value: &str) {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let digits = [byte >> 4, byte & 0x0f].map(|digit| DIGITS.get(usize::from(digit)).copied().unwrap_or('0'));
            text.push('%');
            text.extend(digits);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_value_is_percent_encoded() {
        assert_eq!(
            expand("https://a.example/v1/update/{roomId}", &[("roomId", "mimi://a.example/r/club%2Fhouse")]).unwrap(),
            "https://a.example/v1/update/mimi%3A%2F%2Fa.example%2Fr%2Fclub%252Fhouse"
        );
    }

    #[test]
    fn literals_stay_as_they_are_even_without_the_slash() {
        assert_eq!(
            expand("https://a.example/v1/update{roomId}?x=1", &[("roomId", "r")]).unwrap(),
            "https://a.example/v1/updater?x=1"
        );
    }

    #[test]
    fn what_is_not_level_1_or_not_ours_is_refused() {
        for (template, error) in [
            ("https://a.example/{+roomId}", TemplateError::Level),
            ("https://a.example/{roomId", TemplateError::Level),
            ("https://a.example/}{roomId}", TemplateError::Level),
            ("https://a.example/{roomId}}", TemplateError::Level),
            ("https://a.example/{roomId}/{other}", TemplateError::Unknown),
            ("https://a.example/update", TemplateError::Missing),
        ] {
            assert_eq!(expand(template, &[("roomId", "r")]), Err(error), "{template}");
        }
    }

    #[test]
    fn a_directory_is_used_for_an_hour_or_as_told_and_never_beyond_a_day() {
        let seconds = |header| lifetime(header).as_secs();
        assert_eq!(seconds(None), 3600);
        assert_eq!(seconds(Some("public")), 3600);
        assert_eq!(seconds(Some("public, max-age=60")), 60);
        assert_eq!(seconds(Some("Max-Age=999999999")), 86_400);
        assert_eq!(seconds(Some("max-age=60, no-store")), 0);
        assert_eq!(seconds(Some("max-age=soon")), 0);
    }
}
