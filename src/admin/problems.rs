/// Every code the admin door gives, with its status and meaning.
pub const CODES: &[(&str, u16, &str)] = &[
    ("malformed", 400, "the body, a path segment or a parameter is not what the route takes"),
    ("idempotency_key_missing", 400, "a POST without an `Idempotency-Key` of 1 to 128 visible ASCII characters"),
    ("token_missing", 401, "no bearer token"),
    ("token_invalid", 401, "the token's signature, audience, issuer or time does not hold"),
    ("not_allowed", 403, "policy refuses; `Portcullis-Decision` names the decision, `policies` those that decided"),
    ("not_found", 404, "no such room, peer, lane, dead letter, decision, entry or route"),
    ("method_not_allowed", 405, "the route exists, but not for this method"),
    ("slow_body", 408, "the body did not arrive in time"),
    ("conflict", 409, "its state does not take this"),
    ("in_progress", 409, "a request with the same `Idempotency-Key` is still being worked on"),
    ("oversize", 413, "the body is longer than the route takes"),
    ("idempotency_key_reused", 422, "the `Idempotency-Key` was used before with another body"),
    (
        "too_many_requests",
        429,
        "more requests of the person than the limit allows; `Retry-After` says when to come again",
    ),
    ("internal", 500, "a fault of the gateway"),
    ("unavailable", 503, "too much at once, or no durable audit record can be written; try again later"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_one_of_those_that_refusals_give_with_the_same_status() {
        for (code, status, _) in CODES {
            let given = crate::http::CODES.iter().any(|(other, of, _)| (other, of) == (code, status));
            assert!(given, "{code} is documented, but never given");
        }
    }
}
