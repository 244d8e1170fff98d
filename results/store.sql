-- The tables of ukprobe.db, version 1. Times are microseconds since 1970 (UTC), spans
-- nanoseconds. docs/results.md tells how to ask them by hand: by the views below.

CREATE TABLE run (
	number    INTEGER PRIMARY KEY,  -- in the order in which they came into the folder
	id        TEXT NOT NULL UNIQUE,
	started   INTEGER NOT NULL,
	finished  INTEGER,
	status    TEXT NOT NULL,        -- running of one that was killed, too
	version   TEXT NOT NULL,        -- of ukprobe
	matrix    TEXT NOT NULL,
	kernel    TEXT NOT NULL,
	cpu_model TEXT NOT NULL,
	pid       INTEGER NOT NULL,     -- of the process that writes it, or did
	-- How many, made when a run ends; NULL as long as they are to be counted.
	cells     INTEGER,
	ok        INTEGER,
	failed    INTEGER,
	unsupported INTEGER,
	other     INTEGER,              -- skipped, without image
	samples   INTEGER
);
CREATE INDEX run_started ON run (started, number);

-- run.json's "run" and "host", apart so that a list of runs does not read them.
CREATE TABLE run_text (
	run  INTEGER PRIMARY KEY REFERENCES run,
	head TEXT NOT NULL,
	host TEXT NOT NULL
);

CREATE TABLE cell (
	id         INTEGER PRIMARY KEY,
	run        INTEGER NOT NULL REFERENCES run,
	n          INTEGER NOT NULL,    -- its place in the run, from 0
	system     TEXT NOT NULL,
	app        TEXT NOT NULL,
	platform   TEXT NOT NULL,
	experiment TEXT NOT NULL,
	accel      TEXT NOT NULL,
	probes     TEXT NOT NULL,
	variant    TEXT NOT NULL,       -- what tells it from cells that are like it otherwise
	status     TEXT NOT NULL,
	reason     TEXT NOT NULL,
	head       TEXT NOT NULL,       -- all of it in run.json but samples, histograms, summary
	UNIQUE (run, n)
);

CREATE TABLE sample (
	id          INTEGER PRIMARY KEY,
	cell        INTEGER NOT NULL REFERENCES cell,
	n           INTEGER NOT NULL,   -- within the cell, from 0
	started     INTEGER NOT NULL,
	status      TEXT NOT NULL,
	vmm_ns      INTEGER,
	firmware_ns INTEGER,
	guest_ns    INTEGER,
	total_ns    INTEGER,
	data        BLOB NOT NULL,      -- all of it: JSON as in run.json, zstd, dictionary samples.zdict
	UNIQUE (cell, n)
);

CREATE TABLE histogram (
	cell INTEGER PRIMARY KEY REFERENCES cell,
	data BLOB NOT NULL              -- all of the cell's: JSON as in run.json, zstd
);

-- Made when a run ends: what lists and comparisons need without decoding a sample.
CREATE TABLE cell_values (
	cell INTEGER PRIMARY KEY REFERENCES cell,
	data BLOB NOT NULL              -- results/columns.go
);
CREATE TABLE metric (
	id   INTEGER PRIMARY KEY,
	name TEXT NOT NULL UNIQUE
);
CREATE TABLE summary (
	cell   INTEGER NOT NULL REFERENCES cell,
	metric INTEGER NOT NULL REFERENCES metric,
	n      INTEGER NOT NULL,
	median REAL NOT NULL,
	low    REAL,                    -- the 95 % interval of the median, if there is one
	high   REAL,
	min    REAL NOT NULL,
	max    REAL NOT NULL,
	beyond INTEGER NOT NULL,
	PRIMARY KEY (cell, metric)
) WITHOUT ROWID;

CREATE VIEW runs AS
	SELECT number, id, strftime('%Y-%m-%d %H:%M:%S', started / 1000000, 'unixepoch') AS started_utc,
		(finished - started) / 1e6 AS seconds, status, matrix, cells, ok, failed, unsupported, other, samples,
		kernel, cpu_model, version
	FROM run ORDER BY started, number;

CREATE VIEW cells AS
	SELECT r.id AS run, c.n, c.system, c.app, c.platform, c.experiment, c.accel, c.probes, c.variant, c.status, c.reason,
		json_extract(c.head, '$.image.path') AS image, json_extract(c.head, '$.settings') AS settings,
		(SELECT count(*) FROM sample s WHERE s.cell = c.id) AS samples, c.id AS cell
	FROM cell c JOIN run r ON r.number = c.run;

CREATE VIEW samples AS
	SELECT r.id AS run, c.system, c.app, c.platform, c.experiment, c.accel, c.variant, s.n + 1 AS sample,
		strftime('%Y-%m-%d %H:%M:%f', s.started / 1e6, 'unixepoch') AS started_utc, s.status,
		s.vmm_ns / 1e6 AS vmm_ms, s.firmware_ns / 1e6 AS firmware_ms, s.guest_ns / 1e6 AS guest_ms, s.total_ns / 1e6 AS total_ms,
		c.id AS cell
	FROM sample s JOIN cell c ON c.id = s.cell JOIN run r ON r.number = c.run;

CREATE VIEW summaries AS
	SELECT r.id AS run, c.system, c.app, c.platform, c.experiment, c.accel, c.variant, m.name AS metric,
		y.n, y.median, y.low, y.high, y.min, y.max, y.beyond, c.id AS cell
	FROM summary y JOIN metric m ON m.id = y.metric JOIN cell c ON c.id = y.cell JOIN run r ON r.number = c.run;
