-- The views of ukprobe.db. They are made anew by whoever writes, if they are not these:
-- a change here needs no new version.

CREATE VIEW runs AS
	SELECT number, id, strftime('%Y-%m-%d %H:%M:%S', started / 1000000, 'unixepoch') AS started_utc,
		CASE WHEN finished >= started THEN (finished - started) / 1e6 END AS seconds, status, matrix,
		json_extract(t.head, '$.asked.only') AS only, json_extract(t.head, '$.asked.set') AS settings,
		cells, ok, failed, unsupported, other, cells - ok - failed - unsupported - other AS unfinished, samples,
		kernel, cpu_model, version
	FROM run LEFT JOIN run_text t ON t.run = run.number ORDER BY started, number;

CREATE VIEW cells AS
	SELECT r.id AS run, c.n, c.system, c.app, c.platform, c.experiment, c.accel, c.probes, c.variant, c.status, c.reason,
		json_extract(c.head, '$.image.path') AS image, json_extract(c.head, '$.settings') AS settings,
		(SELECT count(*) FROM sample s WHERE s.cell = c.id) AS samples, c.id AS cell
	FROM cell c JOIN run r ON r.number = c.run;

CREATE VIEW samples AS
	SELECT r.id AS run, c.system, c.app, c.platform, c.experiment, c.accel, c.probes, c.variant, s.n + 1 AS sample,
		strftime('%Y-%m-%d %H:%M:%f', s.started / 1e6, 'unixepoch') AS started_utc, s.status,
		s.vmm_ns / 1e6 AS vmm_ms, s.firmware_ns / 1e6 AS firmware_ms, s.guest_ns / 1e6 AS guest_ms, s.total_ns / 1e6 AS total_ms,
		c.id AS cell
	FROM sample s JOIN cell c ON c.id = s.cell JOIN run r ON r.number = c.run;

CREATE VIEW summaries AS
	SELECT r.id AS run, c.system, c.app, c.platform, c.experiment, c.accel, c.probes, c.variant, m.name AS metric,
		y.n, y.median, y.low, y.high, y.min, y.max, y.beyond, c.id AS cell
	FROM summary y JOIN metric m ON m.id = y.metric JOIN cell c ON c.id = y.cell JOIN run r ON r.number = c.run;
