use actix_web::http::Method;
use portcullis::federation;

/// The endpoints with what attacks them.
const ATTACKED: [(&str, fn()); 11] = [
    ("/.well-known/ohttp-gateway", super::oblivious::SUITE),
    ("/v1/groupInfo/{tail:.*}", super::requests_for_group_info),
    ("/v1/identifierQuery/{tail:.*}", super::searches::SUITE),
    ("/v1/keyMaterial/{tail:.*}", super::claims_of_key_material),
    ("/v1/notify/{tail:.*}", super::notifications),
    ("/v1/proxyDownload/{tail:.*}", super::downloads::SUITE),
    ("/v1/reportAbuse/{tail:.*}", super::reports::SUITE),
    ("/v1/requestConsent/{tail:.*}", super::consents::SUITES[0]),
    ("/v1/submitMessage/{tail:.*}", super::messages),
    ("/v1/update/{tail:.*}", super::updates),
    ("/v1/updateConsent/{tail:.*}", super::consents::SUITES[1]),
];

#[test]
fn every_endpoint_is_attacked() {
    // The directory and keys are for everybody.
    let mut endpoints: Vec<_> = federation::routes()
        .into_iter()
        .filter(|(method, path)| *method != Method::GET || path.starts_with("/v1/"))
        .collect();
    endpoints.sort_by_key(|(_, path)| *path);
    let endpoints: Vec<&str> = endpoints.into_iter().map(|(_, path)| path).collect();
    assert_eq!(endpoints, ATTACKED.map(|(path, _)| path));
}
