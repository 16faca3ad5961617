DROP TABLE consent_letters;
DROP TABLE consent_lanes;
DROP TABLE consents;
