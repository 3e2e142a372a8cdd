-- For a new server: the catalogue of the lake, the request ledger, Dagster's storage.
CREATE DATABASE ayne_catalogue;
CREATE DATABASE ayne_ledger;
CREATE DATABASE dagster;
