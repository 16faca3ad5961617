use std::collections::BTreeMap;
use std::net::SocketAddr;

use portcullis_core::wire::uri::Domain;
use serde::Deserialize;

/// The directory door: SCIM for the company's identity provider. Put it behind the company's own TLS when it leaves the host.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DirectoryListener {
    /// Address to listen on.
    pub bind: SocketAddr,
    /// Origin that the identity provider uses, such as `https://id.a.example`; stands in the URLs of users and groups.
    pub url: String,
    /// What stands behind the `@` of user names, beside the domains themselves, and which of the domains that is.
    #[serde(default)]
    pub mail_domains: BTreeMap<String, Domain>,
}

impl DirectoryListener {
    /// What should stand in the place of something in `mail_domains`: a mistake there would name users of other companies, or
    /// nobody.
    pub(super) fn misfit(&self, domains: &[Domain]) -> Option<String> {
        self.mail_domains.iter().find_map(|(mail, domain)| {
            if !domains.contains(domain) {
                Some(format!("one of `domains` for `{mail}`: no user of `{domain}` is ours"))
            } else if Domain::parse(mail).is_err() {
                Some(format!("a domain in small letters instead of `{mail}`"))
            } else if domains.iter().any(|own| own.as_str() == mail) {
                Some(format!("domains of mail alone: `{mail}` is one of `domains`, and stands for itself"))
            } else {
                None
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_of_mail_leads_to_a_domain_of_ours_or_the_gateway_does_not_start() {
        let ours = ["a.example", "b.example"].map(|domain| Domain::parse(domain).unwrap());
        let misfit = |mail: &str, domain: &str| {
            let listener = DirectoryListener {
                bind: ([127, 0, 0, 1], 0).into(),
                url: "https://id.a.example".to_owned(),
                mail_domains: BTreeMap::from([(mail.to_owned(), Domain::parse(domain).unwrap())]),
            };
            listener.misfit(&ours)
        };
        assert_eq!(misfit("mail.example", "b.example"), None);
        for (mail, domain, told) in [
            ("mail.example", "c.example", "no user of `c.example` is ours"),
            ("Mail.example", "a.example", "small letters"),
            ("a.example", "b.example", "stands for itself"),
        ] {
            let found = misfit(mail, domain).unwrap();
            assert!(found.contains(told), "{found}");
        }
    }
}
