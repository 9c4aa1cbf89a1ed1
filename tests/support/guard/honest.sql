# Questions that an analyst asks. Read by tests/integration/test_guard_honest.py, which holds each answer against the one
# that the same statement gives over plain tables with our project's rows alone.
# `-- N` where {n} parameters are used; `@w` stands for the start of the window.

== Counting

-- x: everything
SELECT count() FROM traces

-- x: by name
SELECT name, count() AS n FROM traces GROUP BY name ORDER BY n DESC, name

-- x: by number of the column
SELECT name, count() FROM traces GROUP BY 1 ORDER BY 2 DESC, 1

-- x: GROUP BY ALL
SELECT name, environment, release, count() FROM traces GROUP BY ALL ORDER BY ALL

-- x: count with a star
SELECT count(*) FROM observations

-- x: count of what is there
SELECT count(end_time), count(total_cost), count(*) FROM observations

-- x: distinct
SELECT DISTINCT type, name FROM observations ORDER BY type, name

-- x: count distinct
SELECT count(DISTINCT user_id), uniqExact(session_id) FROM traces

-- x: conditions
SELECT countIf(level = 'ERROR') AS errors, count() AS n, round(errors / n, 4) AS rate FROM observations

-- x: FILTER
SELECT count(*) FILTER (WHERE level = 'ERROR'), count(*) FILTER (WHERE level != 'ERROR') FROM observations

-- x: HAVING
SELECT name, count() AS n FROM observations GROUP BY name HAVING n > 100 ORDER BY name

-- x: per day
SELECT toDate(timestamp) AS day, count() FROM traces GROUP BY day ORDER BY day

-- x: per hour
SELECT toStartOfHour(timestamp) AS hour, count() FROM traces GROUP BY hour ORDER BY hour LIMIT 20

-- x: per interval
SELECT toStartOfInterval(timestamp, INTERVAL 6 HOUR) AS slot, count() FROM traces GROUP BY slot ORDER BY slot

-- x: DATE_TRUNC
SELECT DATE_TRUNC('week', timestamp) AS week, count() FROM traces GROUP BY week ORDER BY week

-- x: day of the week
SELECT toDayOfWeek(timestamp) AS weekday, count() FROM traces GROUP BY weekday ORDER BY weekday

-- x: EXTRACT
SELECT EXTRACT(HOUR FROM timestamp) AS h, count() FROM traces GROUP BY h ORDER BY h

-- x: names of dates
SELECT formatDateTime(timestamp, '%Y-%m') AS month, count() FROM traces GROUP BY month ORDER BY month

-- x: before and after
SELECT if(timestamp >= {window_start:DateTime64(6, 'UTC')}, 'window', 'baseline') AS period, count() FROM traces
GROUP BY period ORDER BY period

-- x: the last day
SELECT count() FROM traces WHERE timestamp >= {range_end:DateTime64(6, 'UTC')} - INTERVAL 1 DAY

-- x: a constant time
SELECT count() FROM traces WHERE timestamp >= toDateTime64('2026-11-12 00:00:00', 3, 'UTC')

-- x: dates as text
SELECT count() FROM traces WHERE timestamp BETWEEN '2026-11-10' AND '2026-11-12'

== Shares and averages

-- x: cost per model
SELECT model, sum(total_cost) AS cost FROM observations WHERE model != '' GROUP BY model ORDER BY cost DESC

-- x: cost per trace's name
SELECT trace_name, toFloat64(sum(total_cost)) FROM observations GROUP BY trace_name ORDER BY trace_name

-- x: averages
SELECT type, avg(latency_ms), min(latency_ms), max(latency_ms) FROM observations GROUP BY type ORDER BY type

-- x: a weighted average
SELECT avgWeighted(latency_ms, total_tokens) FROM observations WHERE total_tokens > 0

-- x: spread
SELECT name, round(stddevPop(latency_ms), 3), round(varSamp(latency_ms), 3) FROM observations GROUP BY name ORDER BY name

-- x: a median
SELECT median(latency_ms) FROM traces

-- x: a quantile
SELECT quantile(0.95)(latency_ms) FROM traces

-- x: exact quantiles
SELECT name, quantilesExact(0.5, 0.9, 0.99)(latency_ms) FROM observations GROUP BY name ORDER BY name

-- x: quantiles with a condition
SELECT quantileExactIf(0.9)(latency_ms, type = 'GENERATION') FROM observations

-- x: quantiles of a sketch
SELECT round(quantileTDigest(0.5)(latency_ms) / 1000, 2) FROM observations

-- x: a histogram
SELECT histogram(5)(latency_ms) FROM observations WHERE type = 'TOOL'

-- x: buckets
SELECT intDiv(latency_ms, 1000) AS second, count() FROM observations GROUP BY second ORDER BY second

-- x: buckets by width
SELECT widthBucket(latency_ms, 0, 10000, 5) AS bucket, count() FROM observations GROUP BY bucket ORDER BY bucket

-- x: multiIf
SELECT multiIf(latency_ms < 500, 'fast', latency_ms < 2000, 'middling', 'slow') AS pace, count() FROM observations
GROUP BY pace ORDER BY pace

-- x: CASE
SELECT CASE WHEN latency_ms < 500 THEN 'fast' ELSE 'slow' END AS pace, count() FROM observations GROUP BY pace ORDER BY pace

-- x: CASE with a value
SELECT CASE type WHEN 'TOOL' THEN 't' WHEN 'GENERATION' THEN 'g' END AS k, count() FROM observations GROUP BY k ORDER BY k

-- x: the question mark
SELECT level = 'ERROR' ? 'bad' : 'good' AS verdict, count() FROM observations GROUP BY verdict ORDER BY verdict

-- x: transform
SELECT transform(type, ['TOOL', 'GENERATION'], ['tool', 'model'], 'other') AS t, count() FROM observations GROUP BY t ORDER BY t

-- x: correlation
SELECT round(corr(latency_ms, total_tokens), 6) FROM observations WHERE total_tokens > 0

-- x: a line through points
SELECT simpleLinearRegression(toUInt32(total_tokens), toUInt32(latency_ms)).1 > -1000 FROM observations WHERE total_tokens > 0

-- x: argMax
SELECT name, argMax(id, (latency_ms, id)) FROM traces GROUP BY name ORDER BY name

-- x: the most frequent
SELECT topK(2)(name) FROM observations

-- x: sums of decimals
SELECT sum(total_cost), max(total_cost), min(total_cost) FROM traces

-- x: rounding
SELECT round(avg(value), 3), floor(1.7), ceil(1.2), trunc(-1.5) FROM scores

-- x: division by nothing
SELECT sum(total_tokens) / nullIf(count(total_tokens), 0) FROM observations

-- x: coalesce
SELECT coalesce(total_cost, 0) AS c, count() FROM observations GROUP BY c ORDER BY c LIMIT 5

== Joins

-- x: observations of traces
SELECT t.name, count() FROM traces AS t JOIN observations AS o ON o.trace_id = t.id GROUP BY t.name ORDER BY t.name

-- x: without AS
SELECT t.name, count() FROM traces t INNER JOIN observations o ON o.trace_id = t.id GROUP BY t.name ORDER BY t.name

-- x: traces without scores
SELECT count() FROM traces AS t LEFT ANTI JOIN scores AS s ON s.trace_id = t.id

-- x: traces with scores
SELECT count() FROM traces AS t LEFT SEMI JOIN scores AS s ON s.trace_id = t.id

-- x: ANY
SELECT count() FROM traces AS t LEFT ANY JOIN observations AS o ON o.trace_id = t.id

-- x: USING
SELECT count() FROM observations INNER JOIN scores USING (trace_id)

-- x: three relations
SELECT t.name, avg(s.value), count(o.id) FROM traces t JOIN scores s ON s.trace_id = t.id JOIN observations o ON o.trace_id = t.id
GROUP BY t.name ORDER BY t.name

-- x: with itself
SELECT count() FROM observations AS a JOIN observations AS b ON a.trace_id = b.trace_id AND a.name = b.name AND a.id < b.id

-- x: parent and child
SELECT count() FROM observations AS c JOIN observations AS p ON c.parent_id = p.id

-- x: ASOF
SELECT count(), uniqExact(o.id) FROM scores AS s ASOF JOIN observations AS o ON s.trace_id = o.trace_id AND s.timestamp >= o.start_time

-- x: a cross join of sums
SELECT a.n, b.n FROM (SELECT count() AS n FROM traces) AS a CROSS JOIN (SELECT count() AS n FROM scores) AS b

-- x: a comma
SELECT a.n + b.n FROM (SELECT count() AS n FROM traces) AS a, (SELECT count() AS n FROM scores) AS b

-- x: FULL OUTER
SELECT count() FROM (SELECT DISTINCT user_id FROM traces WHERE name = 'support') AS a
FULL OUTER JOIN (SELECT DISTINCT user_id FROM traces WHERE name = 'research') AS b USING (user_id)

-- x: IN a sub-query
SELECT count() FROM observations WHERE trace_id IN (SELECT id FROM traces WHERE errors > 0)

-- x: NOT IN a sub-query
SELECT count() FROM traces WHERE id NOT IN (SELECT trace_id FROM scores)

-- x: IN with tuples
SELECT count() FROM observations WHERE (type, name) IN (SELECT type, name FROM observations WHERE level = 'ERROR')

-- x: IN a list
SELECT count() FROM observations WHERE type IN ('TOOL', 'RETRIEVER') AND level NOT IN ('DEBUG')

-- x: IN a query of WITH
WITH slow AS (SELECT id FROM traces WHERE latency_ms > 5000) SELECT count() FROM observations WHERE trace_id IN slow

-- x: EXISTS
SELECT EXISTS (SELECT 1 FROM observations WHERE level = 'ERROR')

-- x: a correlated EXISTS
SELECT count() FROM traces AS t WHERE EXISTS (SELECT 1 FROM scores AS s WHERE s.trace_id = t.id)

-- x: a correlated value
SELECT t.id, (SELECT count() FROM scores AS s WHERE s.trace_id = t.id) AS n FROM traces AS t ORDER BY t.id LIMIT 5

-- x: a scalar sub-query
SELECT count() FROM traces WHERE latency_ms > (SELECT avg(latency_ms) FROM traces)

-- x: a value in WITH
WITH (SELECT quantileExact(0.9)(latency_ms) FROM traces) AS bound SELECT count() FROM traces WHERE latency_ms > bound

-- x: a constant in WITH
WITH 2000 AS bound SELECT countIf(latency_ms > bound) FROM observations

-- x: queries in WITH
WITH per_day AS (SELECT toDate(timestamp) AS day, count() AS n FROM traces GROUP BY day),
  peak AS (SELECT max(n) AS n FROM per_day)
SELECT day FROM per_day WHERE n = (SELECT n FROM peak) ORDER BY day

-- x: a query of WITH, twice
WITH x AS (SELECT name, count() AS n FROM traces GROUP BY name) SELECT a.name, b.n FROM x AS a JOIN x AS b ON a.name = b.name ORDER BY a.name

-- x: WITH inside of a sub-query
SELECT * FROM (WITH e AS (SELECT trace_id FROM observations WHERE level = 'ERROR') SELECT count() AS n FROM e)

-- x: a recursion
WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 7) SELECT groupArray(i) FROM n

-- x: ALL
SELECT count() FROM traces WHERE latency_ms >= ALL (SELECT latency_ms FROM traces WHERE latency_ms IS NOT NULL)

== Sets

-- x: UNION ALL
SELECT 'traces' AS what, count() AS n FROM traces UNION ALL SELECT 'scores', count() FROM scores

-- x: UNION DISTINCT
SELECT environment FROM traces UNION DISTINCT SELECT environment FROM observations

-- x: INTERSECT
SELECT user_id FROM traces WHERE name = 'support' INTERSECT SELECT user_id FROM traces WHERE name = 'research' ORDER BY user_id

-- x: EXCEPT
SELECT count() FROM (SELECT DISTINCT id FROM traces EXCEPT SELECT trace_id FROM scores)

-- x: three parts
SELECT 1 AS n UNION ALL SELECT 2 UNION ALL SELECT 3

-- x: brackets
(SELECT 1 AS n UNION ALL SELECT 2) UNION ALL (SELECT 3 EXCEPT SELECT 4)

-- x: WITH for all parts
WITH x AS (SELECT name FROM traces) SELECT count() AS n FROM x WHERE name = 'support' UNION ALL SELECT count() FROM x WHERE name = 'research'

== Windows

-- x: numbers within groups
SELECT name, timestamp, row_number() OVER (PARTITION BY name ORDER BY timestamp, id) AS n FROM traces ORDER BY name, n LIMIT 10

-- x: a running sum
SELECT day, n, sum(n) OVER (ORDER BY day) AS running FROM (SELECT toDate(timestamp) AS day, count() AS n FROM traces GROUP BY day) ORDER BY day

-- x: a moving average
SELECT day, avg(n) OVER (ORDER BY day ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) AS smooth
FROM (SELECT toDate(timestamp) AS day, count() AS n FROM traces GROUP BY day) ORDER BY day

-- x: the value before
SELECT day, n - lagInFrame(n, 1, n) OVER (ORDER BY day ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS change
FROM (SELECT toDate(timestamp) AS day, count() AS n FROM traces GROUP BY day) ORDER BY day

-- x: lag
SELECT day, lag(n, 1, 0) OVER (ORDER BY day) AS before FROM (SELECT toDate(timestamp) AS day, count() AS n FROM traces GROUP BY day) ORDER BY day

-- x: ranks
SELECT name, rank() OVER (ORDER BY c DESC) AS r, dense_rank() OVER (ORDER BY c DESC) AS d
FROM (SELECT name, count() AS c FROM observations GROUP BY name) ORDER BY r, name

-- x: a share of the whole
SELECT name, round(count() / sum(count()) OVER (), 4) AS share FROM observations GROUP BY name ORDER BY name

-- x: a named window
SELECT name, min(timestamp) OVER w, max(timestamp) OVER w FROM traces WINDOW w AS (PARTITION BY name) ORDER BY name, id LIMIT 4

-- x: QUALIFY
SELECT trace_id, name FROM observations QUALIFY row_number() OVER (PARTITION BY trace_id ORDER BY start_time DESC, id) = 1 ORDER BY trace_id LIMIT 10

-- x: the first of each
SELECT DISTINCT name, first_value(id) OVER (PARTITION BY name ORDER BY timestamp, id) AS first_id FROM traces ORDER BY name

-- x: quarters
SELECT q, count() FROM (SELECT ntile(4) OVER (ORDER BY latency_ms, id) AS q FROM traces) GROUP BY q ORDER BY q

-- x: a range of values
SELECT n, sum(n) OVER (ORDER BY n RANGE BETWEEN 1 PRECEDING AND 1 FOLLOWING) AS s FROM (SELECT number AS n FROM numbers(5)) ORDER BY n

-- x: IGNORE NULLS
SELECT none, count() FROM (SELECT last_value(total_cost) IGNORE NULLS OVER (ORDER BY start_time, id) IS NULL AS none FROM observations) GROUP BY none

== Groupings

-- x: GROUPING SETS
SELECT name, environment, count() FROM traces GROUP BY GROUPING SETS ((name), (environment), ()) ORDER BY ALL

-- x: CUBE
SELECT type, level, count() FROM observations GROUP BY CUBE (type, level) ORDER BY ALL

-- x: ROLLUP
SELECT trace_name, type, count() FROM observations GROUP BY ROLLUP (trace_name, type) ORDER BY ALL

-- x: WITH ROLLUP
SELECT type, count() FROM observations GROUP BY type WITH ROLLUP ORDER BY ALL

-- x: WITH CUBE
SELECT type, count() FROM observations GROUP BY type WITH CUBE ORDER BY ALL

-- x: which grouping
SELECT name, grouping(name) AS g, count() FROM traces GROUP BY ROLLUP (name) ORDER BY g, name

-- x: LIMIT BY
SELECT name, id FROM traces ORDER BY name, id LIMIT 2 BY name

-- x: LIMIT BY with OFFSET
SELECT name, id FROM traces ORDER BY name, id LIMIT 2 OFFSET 1 BY name

-- x: LIMIT, OFFSET and BY
SELECT name, id FROM traces ORDER BY name, id LIMIT 3 BY name LIMIT 4 OFFSET 1

-- x: DISTINCT ON
SELECT DISTINCT ON (name) name, id FROM traces ORDER BY name, id

-- x: WITH TIES
SELECT steps FROM traces ORDER BY steps DESC LIMIT 1 WITH TIES

-- x: TOP
SELECT TOP 3 id FROM traces ORDER BY id

-- x: LIMIT with a comma
SELECT id FROM traces ORDER BY id LIMIT 2, 3

-- x: FETCH
SELECT id FROM traces ORDER BY id OFFSET 2 ROWS FETCH FIRST 3 ROWS ONLY

-- x: NULLS FIRST
SELECT total_cost FROM observations ORDER BY total_cost ASC NULLS FIRST, id LIMIT 3

-- x: days without rows
SELECT toDate(timestamp) AS day, countIf(name = 'none') AS n FROM traces WHERE toDayOfMonth(timestamp) % 3 = 0
GROUP BY day ORDER BY day WITH FILL STEP INTERVAL 1 DAY

-- x: filled and interpolated
SELECT n, m FROM (SELECT number * 2 AS n, number AS m FROM numbers(3)) ORDER BY n WITH FILL TO 5 STEP 1 INTERPOLATE (m AS m + 10)

-- x: a combination of sums
SELECT sumIf(total_tokens, type = 'GENERATION'), avgIf(latency_ms, level = 'ERROR'), uniqExactIf(trace_id, level = 'ERROR') FROM observations

-- x: combinators in a row
SELECT sumOrNullIf(total_tokens, 0), countIfOrDefault(level = 'X'), uniqExactArray(tags), sumForEach([1, 2]) FROM traces LEFT JOIN observations ON 0

-- x: sums of maps
SELECT sumMap(map(type, toUInt64(1))) FROM observations

-- x: states and merges
SELECT uniqExactMerge(s) FROM (SELECT uniqExactState(user_id) AS s FROM traces GROUP BY name)

-- x: paths of steps
SELECT path, count() FROM (SELECT trace_id, arrayStringConcat(arrayMap(p -> p.2, arraySort(groupArray((start_time, name)))), ' > ') AS path
FROM observations GROUP BY trace_id) GROUP BY path ORDER BY count() DESC, path LIMIT 5

-- x: a funnel
SELECT level, count() FROM (SELECT trace_id, windowFunnel(3600)(toDateTime(start_time), type = 'RETRIEVER', type = 'TOOL', type = 'GENERATION') AS level
FROM observations GROUP BY trace_id) GROUP BY level ORDER BY level

-- x: a sequence
SELECT countIf(found) FROM (SELECT sequenceMatch('(?1).*(?2)')(toDateTime(start_time), type = 'TOOL', level = 'ERROR') AS found FROM observations GROUP BY trace_id)

-- x: who came back
SELECT sum(r[1]), sum(r[2]) FROM (SELECT retention(timestamp < {window_start:DateTime64(6, 'UTC')}, timestamp >= {window_start:DateTime64(6, 'UTC')}) AS r FROM traces GROUP BY user_id)

== Arrays, maps, tuples and texts

-- x: ARRAY JOIN
SELECT tag, count() FROM traces ARRAY JOIN tags AS tag GROUP BY tag ORDER BY tag

-- x: LEFT ARRAY JOIN
SELECT tag, count() FROM traces LEFT ARRAY JOIN tags AS tag GROUP BY tag ORDER BY tag

-- x: arrayJoin
SELECT arrayJoin(tags) AS tag, uniqExact(user_id) FROM traces GROUP BY tag ORDER BY tag

-- x: several arrays
SELECT k, v, count() FROM traces ARRAY JOIN mapKeys(metadata) AS k, mapValues(metadata) AS v GROUP BY k, v ORDER BY k, v

-- x: a map's value
SELECT metadata['plan'] AS plan, count() FROM traces GROUP BY plan ORDER BY plan

-- x: a map's keys
SELECT DISTINCT arrayJoin(mapKeys(metadata)) AS k FROM traces ORDER BY k

-- x: whether a map has a key
SELECT countIf(mapContains(metadata, 'plan')), countIf(mapContains(metadata, 'x')) FROM traces

-- x: has
SELECT countIf(has(tags, 'vip')), countIf(hasAny(tags, ['eu', 'web'])), countIf(empty(tags)) FROM traces

-- x: lambdas
SELECT arrayMap((x, y) -> x + y, [1, 2], [3, 4]), arrayFilter(x -> x > 1, [1, 2, 3]), arraySum(x -> x * 2, [1, 2])

-- x: a function's name for a lambda
SELECT arrayMap(length, tags) AS lengths, count() FROM traces GROUP BY lengths ORDER BY lengths

-- x: a lambda with a name
WITH x -> x / 1000 AS seconds SELECT round(seconds(max(latency_ms)), 3) FROM traces

-- x: folding
SELECT arrayFold((acc, x) -> acc + x, [1, 2, 3], toInt64(0))

-- x: sorting arrays
SELECT arraySort(x -> -x, [3, 1, 2]), arrayReverseSort([3, 1, 2]), arrayDistinct([1, 1, 2])

-- x: parts of arrays
SELECT tags[1] AS first_tag, length(tags) AS n, count() FROM traces GROUP BY first_tag, n ORDER BY first_tag, n

-- x: arrayReduce
SELECT arrayReduce('sum', [1, 2, 3]), arrayReduce('quantile(0.5)', [1, 2, 3])

-- x: tuples
SELECT (name, environment) AS pair, count() FROM traces GROUP BY pair ORDER BY pair

-- x: parts of tuples
SELECT t.1, t.2 FROM (SELECT (1, 'a') AS t)

-- x: named tuples
SELECT tupleElement(CAST((1, 'a'), 'Tuple(n UInt8, s String)'), 's') AS s

-- x: untuple
SELECT untuple((1, 'a'))

-- x: LIKE
SELECT countIf(status_message LIKE 'timeout%'), countIf(status_message ILIKE '%TIMEOUT%'), countIf(name NOT LIKE 'x%') FROM observations

-- x: regular expressions
SELECT replaceRegexpAll(status_message, '[0-9]+', 'N') AS shape, count() FROM observations WHERE level = 'ERROR' GROUP BY shape ORDER BY shape

-- x: matches
SELECT countIf(match(status_message, '^timeout after [5-9]')), extract(max(status_message), '([0-9]+)') FROM observations

-- x: parts of texts
SELECT substring(name, 1, 3) AS p, upper(name) AS u, concat(p, '-', u) AS c, count() FROM observations GROUP BY p, u ORDER BY u

-- x: joined by bars
SELECT name || '/' || type AS step, count() FROM observations GROUP BY step ORDER BY step

-- x: split
SELECT splitByChar('_', name)[1] AS word, count() FROM observations GROUP BY word ORDER BY word

-- x: TRIM
SELECT TRIM(BOTH ' ' FROM '  x  ') AS a, lengthUTF8('héllo') AS b, lower('ABC') AS c

-- x: JSON
SELECT JSONExtractString(input, 'question') AS q, count() AS n FROM traces GROUP BY q ORDER BY n DESC, q LIMIT 3

-- x: JSON with a type
SELECT sum(toUInt64OrZero(JSONExtract(input, 'question', 'String'))) FROM traces

-- x: JSON by path
SELECT countIf(JSON_VALUE(input, '$.question') != '') FROM traces

-- x: how alike texts are
SELECT round(ngramDistance('timeout after', 'timeout before'), 3), editDistance('abc', 'abd')

-- x: hashes
SELECT cityHash64(id) % 4 AS shard, count() FROM traces GROUP BY shard ORDER BY shard

-- x: conversions
SELECT toString(1), toInt64('12'), toFloat64OrNull('x'), CAST('2026-11-10' AS Date), '7'::UInt8, toDecimal64('1.5', 2)

-- x: null and not
SELECT countIf(end_time IS NULL), countIf(end_time IS NOT NULL), countIf(isNull(total_cost)) FROM observations

-- x: differences in time
SELECT max(dateDiff('minute', start_time, end_time)), max(age('second', start_time, end_time)) FROM observations

-- x: intervals
SELECT count() FROM observations AS a JOIN traces AS t ON a.trace_id = t.id WHERE a.start_time <= t.timestamp + INTERVAL 5 SECOND

-- x: a bar
SELECT name, bar(count(), 0, 1000, 10) FROM observations GROUP BY name ORDER BY name

-- x: readable numbers
SELECT formatReadableQuantity(count()), formatReadableTimeDelta(sum(latency_ms) / 1000) FROM observations

-- x: greatest and least
SELECT greatest(1, 2, 3), least('a', 'b'), clamp(10, 1, 5)

-- x: bits
SELECT bitAnd(5, 3), bitShiftLeft(1, 4), 0xFF, 1e3

== Columns

-- x: EXCEPT
SELECT * EXCEPT (input, output, metadata, tags) FROM traces ORDER BY id LIMIT 2

-- x: REPLACE
SELECT * EXCEPT (input, output) REPLACE (upper(name) AS name) FROM traces ORDER BY id LIMIT 2

-- x: APPLY
SELECT COLUMNS('_tokens') APPLY sum FROM observations

-- x: APPLY with a lambda
SELECT COLUMNS(steps, errors) APPLY (x -> x + 1) FROM traces ORDER BY id LIMIT 2

-- x: APPLY with a parameter
SELECT COLUMNS(latency_ms) APPLY quantileExact(0.5) FROM traces

-- x: a table's columns
SELECT s.* FROM scores AS s ORDER BY s.id LIMIT 2

-- x: quoted names
SELECT "name" AS "the name", count() AS `how many` FROM traces GROUP BY "name" ORDER BY `how many`, "the name"

-- x: FROM before SELECT
FROM traces SELECT count()

-- x: a column of a sub-query without an alias
SELECT `count()` FROM (SELECT count() FROM traces)

-- x: comments
SELECT /* how many */ count() -- all
FROM traces

-- x: a semicolon at the end
SELECT count() FROM traces;

-- x: lower case
select name, count() as n from traces group by name order by n desc

-- x: other letters' case of functions
SELECT COUNT(*), Sum(steps), MAX(latency_ms), COALESCE(NULL, 1) FROM traces

-- x: unicode
SELECT '反省' AS word, countIf(name = 'поиск') FROM traces

-- x: texts with quotes
SELECT 'it''s', 'a\'b', 'a\\b', 'tab\there', $$x$$

-- x: a percent sign and braces
SELECT '100 % {sure} {x:String} %s' AS x, countIf(name LIKE '%s%') FROM traces

== Tables out of constants

-- x: numbers
SELECT sum(number) FROM numbers(10)

-- x: a calendar
SELECT d, n FROM (SELECT toDate('2026-11-09') + number AS d FROM numbers(3)) AS c LEFT JOIN (SELECT toDate(timestamp) AS day, count() AS n FROM traces GROUP BY day) AS t ON c.d = t.day ORDER BY d

-- x: a series
SELECT generate_series FROM generate_series(1, 5, 2)

-- x: VALUES
SELECT v.a, count() FROM VALUES('a String, b UInt8', ('support', 1), ('research', 2)) AS v JOIN traces AS t ON t.name = v.a GROUP BY v.a ORDER BY v.a

-- x: VALUES without names
SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS t ORDER BY 1

-- x: rows of arrays
SELECT arrayJoin([1, 2, 3]) AS x ORDER BY x

== Parameters

-- n=support: a text
SELECT count() FROM traces WHERE name = {n:String}

-- n=3: a number
SELECT count() FROM traces WHERE steps > {n:UInt32}

-- n=0.9: a fraction
SELECT countIf(value > {n:Float64}) FROM scores

-- n=["TOOL", "GENERATION"]: a list
SELECT type, count() FROM observations WHERE type IN {n:Array(String)} GROUP BY type ORDER BY type

-- n="2026-11-12 00:00:00": a time
SELECT count() FROM traces WHERE timestamp >= {n:DateTime64(3, 'UTC')}

-- n="2026-11-12": a date
SELECT count() FROM traces WHERE toDate(timestamp) = {n:Date}

-- n=null: nothing
SELECT {n:Nullable(String)} IS NULL AS is_null

-- n=5: a limit
SELECT id FROM traces ORDER BY id LIMIT {n:UInt8}

-- n="a'b\\ {x} %s": a text with everything
SELECT {n:String} AS x
