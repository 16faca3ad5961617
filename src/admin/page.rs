//! Lists in pages: each tells where the next one begins.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::Problem;

/// Items of a page when nothing else is asked for.
const USUAL: u32 = 100;

/// Most items of a page.
const MOST: u32 = 500;

/// A page of a list.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Page<T> {
    /// The items, in the order of the list.
    pub(super) items: Vec<T>,
    /// The `cursor` of the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next: Option<String>,
}

/// How many items a page is to have.
pub(super) fn limit(asked: Option<u32>) -> u32 {
    asked.unwrap_or(USUAL).clamp(1, MOST)
}

/// A place in a list, as it is given out: nobody is to make one up.
pub(super) fn cursor(parts: &[&str]) -> String {
    URL_SAFE_NO_PAD.encode(parts.join("\n"))
}

/// Reads a cursor of `N` parts.
pub(super) fn place<const N: usize>(cursor: &str) -> Result<[String; N], Problem> {
    let malformed = || Problem::Malformed("the cursor is not one that was given out".to_owned());
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| malformed())?;
    let text = String::from_utf8(bytes).ok().filter(|text| !text.is_empty()).ok_or_else(malformed)?;
    let parts: Vec<String> = text.split('\n').map(str::to_owned).collect();
    parts.try_into().map_err(|_| malformed())
}

/// Why a cursor does not fit its list.
pub(super) fn misfit<E>(_: E) -> Problem {
    Problem::Malformed("the cursor is not one of this list".to_owned())
}

/// A page of `items`, of which one more was read than `limit` if there are more.
pub(super) fn page<T>(mut items: Vec<T>, limit: u32, place: impl FnOnce(&T) -> String) -> Page<T> {
    let limit = limit as usize;
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(place);
    Page { items, next }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_names_the_next_one_only_when_there_is_one() {
        let all = |items: Vec<u32>| page(items, 2, |last| cursor(&[&last.to_string()]));
        assert_eq!(all(vec![1, 2]).next, None);
        let first = all(vec![1, 2, 3]);
        assert_eq!(first.items, [1, 2]);
        assert_eq!(place::<1>(&first.next.unwrap()).unwrap(), ["2"]);
    }

    #[test]
    fn a_cursor_that_nobody_gave_out_is_malformed() {
        for text in ["", "?", &cursor(&["a", "b"])] {
            assert!(place::<1>(text).is_err(), "{text}");
        }
        assert!(place::<2>(&cursor(&["a"])).is_err());
    }
}
