DROP TABLE room_asset_hosts;
