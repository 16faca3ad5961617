DROP TABLE peer_standings;
