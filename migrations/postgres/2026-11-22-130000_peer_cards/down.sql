DROP TABLE certificate_alarms;
DROP TABLE peer_cards;
