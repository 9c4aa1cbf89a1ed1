# Statements that try to reach what is not theirs. Read by tests/integration/test_guard_hostile.py.
# `== group`; then for each statement a line `-- expected: why`, and the statement up to an empty line.
# expected is a reason of QueryRefused, or `harmless`: the guard lets it through, and it finds nothing of others.
# @db stands for the database's name, @other for the other project's.

== Other tables, by name

-- table: the physical table with its database
SELECT * FROM @db.traces

-- table: the same, quoted
SELECT * FROM `@db`.`traces`

-- table: the same, with double quotes
SELECT * FROM "@db"."scores"

-- table: a physical table of the other schema
SELECT * FROM @db.events_full

-- table: a table of Langfuse that is no relation
SELECT * FROM dataset_run_items_rmt

-- table: the events table without its database
SELECT * FROM events_core

-- table: the list of tables
SELECT name FROM system.tables

-- table: the list of columns
SELECT * FROM system.columns WHERE database = '@db'

-- table: everyone's queries with their texts
SELECT query FROM system.query_log

-- table: queries that run now
SELECT query FROM system.processes

-- table: sizes of partitions tell of other projects
SELECT partition, rows FROM system.parts

-- table: users and their grants
SELECT * FROM system.users

-- table: settings
SELECT * FROM system.settings

-- table: the environment of the server
SELECT * FROM system.server_settings

-- table: the standard's name for the catalogue
SELECT * FROM information_schema.tables

-- table: the same in capitals
SELECT * FROM INFORMATION_SCHEMA.COLUMNS

-- table: a hidden table in a sub-query
SELECT count() FROM (SELECT * FROM @db.traces)

-- table: a hidden table in IN
SELECT count() FROM traces WHERE id IN (SELECT id FROM @db.traces)

-- table: a hidden table in a scalar sub-query
SELECT (SELECT max(name) FROM @db.traces)

-- table: a hidden table in a WITH query
WITH others AS (SELECT * FROM @db.traces) SELECT * FROM others

-- table: a hidden table in a WITH scalar
WITH (SELECT max(name) FROM @db.traces) AS secret SELECT secret

-- table: a hidden table in a join
SELECT t.name, o.name FROM traces AS t LEFT JOIN @db.traces AS o ON 1 = 1

-- table: a hidden table behind a comma
SELECT * FROM traces, @db.scores

-- table: a hidden table in the second part of a union
SELECT name FROM traces UNION ALL SELECT name FROM @db.traces

-- table: a hidden table in INTERSECT
SELECT name FROM traces INTERSECT SELECT name FROM @db.traces

-- table: a hidden table in EXCEPT
SELECT name FROM @db.traces EXCEPT SELECT name FROM traces

-- table: a hidden table in ORDER BY
SELECT name FROM traces ORDER BY (SELECT max(name) FROM @db.traces)

-- table: a hidden table in LIMIT
SELECT name FROM traces LIMIT (SELECT count() FROM @db.traces)

-- table: a hidden table in OFFSET
SELECT name FROM traces LIMIT 1 OFFSET (SELECT count() FROM @db.traces)

-- table: a hidden table in LIMIT BY
SELECT name FROM traces LIMIT 1 BY (SELECT max(name) FROM @db.traces)

-- table: a hidden table in HAVING
SELECT name FROM traces GROUP BY name HAVING count() < (SELECT count() FROM @db.traces)

-- table: a hidden table in QUALIFY
SELECT name FROM traces QUALIFY row_number() OVER (ORDER BY id) < (SELECT count() FROM @db.traces)

-- table: a hidden table in a window's frame
SELECT sum(1) OVER (ORDER BY id ROWS BETWEEN (SELECT count() FROM @db.traces) PRECEDING AND CURRENT ROW) FROM traces

-- table: a hidden table in a named window
SELECT sum(1) OVER w FROM traces WINDOW w AS (PARTITION BY (SELECT max(name) FROM @db.traces))

-- table: a hidden table in WITH FILL
SELECT 1 AS n ORDER BY n WITH FILL TO (SELECT count() FROM @db.traces)

-- table: a hidden table in INTERPOLATE
SELECT 1 AS n, 2 AS m ORDER BY n WITH FILL TO 5 INTERPOLATE (m AS (SELECT count() FROM @db.traces))

-- table: a hidden table in ARRAY JOIN
SELECT x FROM traces ARRAY JOIN (SELECT groupArray(name) FROM @db.traces) AS x

-- table: a hidden table in GROUPING SETS
SELECT count() FROM traces GROUP BY GROUPING SETS ((name), ((SELECT max(name) FROM @db.traces)))

-- table: a hidden table in a lambda
SELECT arrayMap(x -> (SELECT max(name) FROM @db.traces), [1])

-- table: a hidden table in a parameter of an aggregate function
SELECT quantile((SELECT 0.5 FROM @db.traces LIMIT 1))(1)

-- table: a hidden table in the condition of a join
SELECT count() FROM traces AS t JOIN scores AS s ON t.id = s.trace_id AND t.name IN (SELECT name FROM @db.traces)

-- table: a hidden table in REPLACE
SELECT * REPLACE ((SELECT max(name) FROM @db.traces) AS name) FROM traces

-- table: a hidden table in APPLY
SELECT * APPLY (x -> (SELECT max(name) FROM @db.traces)) FROM traces

-- table: a hidden table in EXISTS
SELECT EXISTS (SELECT 1 FROM @db.traces WHERE project_id = '@other')

-- table: a hidden table in ANY
SELECT 'x' = ANY (SELECT name FROM @db.traces)

-- table: a hidden table in ALL
SELECT 1 > ALL (SELECT value FROM @db.scores)

-- table: a table at the third level
SELECT * FROM (SELECT * FROM (SELECT * FROM (SELECT * FROM @db.traces)))

-- table: FROM before SELECT
FROM @db.traces SELECT *

-- table: a sub-query with brackets that are no sub-query
SELECT * FROM (@db.traces JOIN scores ON 1 = 1)

-- table: a name with a dot inside
SELECT * FROM `@db.traces`

-- table: a name that looks like ours in another case
SELECT * FROM Traces

-- syntax: a name in other letters (Cyrillic а)
SELECT * FROM trаces

-- table: a name with a zero-width space
SELECT * FROM `traces​`

== Other tables, where no table is expected

-- table: IN with a table's name
SELECT 'x' IN @db.traces

-- table: IN with a name without its database
SELECT ('x', 'y') IN traces

-- table: IN with a name in brackets
SELECT 'x' IN (dataset_run_items_rmt)

-- table: NOT IN
SELECT count() FROM traces WHERE id NOT IN events_core

-- table: IN as a function
SELECT in('x', `@db.traces`)

-- table: notIn as a function
SELECT notIn('x', events_core)

-- table: globalIn as a function
SELECT globalIn('x', scores)

-- table: nullIn as a function
SELECT nullIn('x', scores)

-- table: GLOBAL NOT IN
SELECT 'x' GLOBAL NOT IN events_core

-- table: IN with a name that an alias elsewhere defines
SELECT (SELECT 1 AS events_core) AS a, 1 IN events_core

-- syntax: EXISTS with a name
SELECT exists(events_core)

-- syntax: EXISTS with an alias that is a table's name
SELECT 1 AS events_core, `exists`(events_core)

-- parameter: a parameter for a table's name
SELECT * FROM {t:Identifier}

-- parameter: parameters for database and table
SELECT * FROM {d:Identifier}.{t:Identifier}

-- parameter: a parameter for a column's name
SELECT {c:Identifier} FROM traces

-- parameter: a parameter for a part of a name
SELECT t.{c:Identifier} FROM traces AS t

-- parameter: a parameter for a table's name after IN
SELECT 1 IN {t:Identifier}

-- table: TABLE as a shorthand
SELECT * FROM (SELECT * FROM traces UNION ALL SELECT * FROM @db.events_core)

== Table functions

-- table: tables by a pattern
SELECT * FROM merge('@db', '.*')

-- table: the same with an expression
SELECT * FROM merge(REGEXP('.*'), 'traces')

-- table: a query as a view
SELECT * FROM view(SELECT * FROM @db.traces)

-- table: a view if permitted
SELECT * FROM viewIfPermitted(SELECT * FROM @db.traces ELSE null('a UInt8'))

-- table: EXPLAIN as a table
SELECT * FROM viewExplain('EXPLAIN', '', (SELECT * FROM @db.traces))

-- table: EXPLAIN in a sub-query
SELECT * FROM (EXPLAIN SELECT * FROM @db.traces)

-- table: EXPLAIN ESTIMATE in a sub-query
SELECT * FROM (EXPLAIN ESTIMATE SELECT * FROM @db.traces)

-- table: another server
SELECT * FROM remote('127.0.0.1', '@db', 'traces')

-- table: another server with TLS
SELECT * FROM remoteSecure('127.0.0.1', '@db', 'traces')

-- table: all servers of a cluster
SELECT * FROM cluster('default', '@db', 'traces')

-- table: all replicas of a cluster
SELECT * FROM clusterAllReplicas('default', '@db', 'traces')

-- table: a file
SELECT * FROM file('/etc/passwd', 'LineAsString')

-- table: a file on all servers
SELECT * FROM fileCluster('default', '/etc/passwd', 'LineAsString')

-- table: the file system
SELECT * FROM filesystem('/etc')

-- table: a URL
SELECT * FROM url('http://127.0.0.1:9/', 'LineAsString')

-- table: a URL on all servers
SELECT * FROM urlCluster('default', 'http://127.0.0.1:9/', 'LineAsString')

-- table: S3
SELECT * FROM s3('http://127.0.0.1:9/bucket/x.csv')

-- table: Google's storage
SELECT * FROM gcs('http://127.0.0.1:9/bucket/x.csv')

-- table: Azure
SELECT * FROM azureBlobStorage('a', 'b', 'c')

-- table: HDFS
SELECT * FROM hdfs('hdfs://127.0.0.1:9/x', 'TSV', 'a String')

-- table: PostgreSQL
SELECT * FROM postgresql('127.0.0.1:5432', 'd', 't', 'u', 'p')

-- table: MySQL
SELECT * FROM mysql('127.0.0.1:3306', 'd', 't', 'u', 'p')

-- table: MongoDB
SELECT * FROM mongodb('127.0.0.1:27017', 'd', 'c', 'u', 'p', 'a String')

-- table: Redis
SELECT * FROM redis('127.0.0.1:6379', 'k', 'k String')

-- table: SQLite
SELECT * FROM sqlite('/tmp/x.db', 't')

-- table: ODBC
SELECT * FROM odbc('DSN=x', 'd', 't')

-- table: JDBC
SELECT * FROM jdbc('x', 'd', 't')

-- table: Iceberg in a local folder
SELECT * FROM icebergLocal('/tmp/x')

-- table: Delta Lake in a local folder
SELECT * FROM deltaLakeLocal('/tmp/x')

-- table: Paimon
SELECT * FROM paimonLocal('/tmp/x')

-- table: Hudi
SELECT * FROM hudi('http://127.0.0.1:9/')

-- table: a program
SELECT * FROM executable('cat /etc/passwd', 'TSV', 'a String')

-- table: Python inside of the process
SELECT * FROM python('x')

-- table: Python in capitals, as chDB writes it
SELECT * FROM Python(x)

-- table: the primary index with its values
SELECT * FROM mergeTreeIndex('@db', 'traces')

-- table: what the index would read
SELECT * FROM mergeTreeAnalyzeIndexes('@db', 'traces', 1)

-- table: a projection
SELECT * FROM mergeTreeProjection('@db', 'traces', 'x')

-- table: the words of a text index
SELECT * FROM mergeTreeTextIndex('@db', 'events_full', 'x')

-- table: a dictionary
SELECT * FROM dictionary('d')

-- table: time series
SELECT * FROM timeSeriesData('@db', 't')

-- table: time series by selector
SELECT * FROM timeSeriesSelector('@db', 't', 'x', 0, 1)

-- table: PromQL
SELECT * FROM prometheusQuery('@db', 't', 'x', 0)

-- table: the input of an insert
SELECT * FROM input('a String')

-- table: rows out of text in any format
SELECT * FROM format('CSV', 'a String', 'x')

-- table: rows at random, without end
SELECT * FROM generateRandom('a String')

-- table: an endless loop over a table
SELECT * FROM loop('@db', 'traces')

-- table: SQL in a text
SELECT * FROM eval('SELECT * FROM @db.traces')

-- table: numbers without end
SELECT * FROM numbers()

-- table: too many numbers
SELECT count() FROM numbers(1000000000000)

-- table: numbers as many as an expression says
SELECT count() FROM numbers(toUInt64(1e12))

-- table: numbers as many as a hidden table has rows
SELECT * FROM numbers((SELECT count() FROM @db.traces))

-- table: numbers on all cores
SELECT count() FROM numbers_mt(1000000000000)

-- table: endless zeros
SELECT count() FROM zeros()

-- table: primes without end
SELECT count() FROM primes()

-- table: a long series
SELECT count() FROM generateSeries(0, 100000000000)

-- table: a table function in other letters' case
SELECT * FROM MERGE('@db', '.*')

-- table: a table function with a database's name before it
SELECT * FROM @db.merge('.*')

-- function: VALUES with a file inside
SELECT * FROM values('a String', (file('/etc/passwd')))

-- table: VALUES with a default that reads a file
SELECT * FROM values('a UInt8, b String DEFAULT file(\'/etc/passwd\')', 1)

-- table: VALUES with a computed column
SELECT * FROM values('a UInt8, b String ALIAS hostName()', 1)

-- table: VALUES with a materialized column
SELECT * FROM values('a UInt8, b String MATERIALIZED hostName()', 1)

-- table: VALUES whose declaration goes on
SELECT * FROM values('a UInt8) ENGINE = File(CSV) AS SELECT * FROM @db.traces --', 1)

-- table: VALUES whose columns a parameter declares
SELECT * FROM values({n:String}, 1)

-- table: VALUES whose columns a name declares
WITH 'a UInt8, b String ALIAS file(\'/etc/passwd\')' AS s SELECT b FROM values(s, 1)

-- table: VALUES whose columns a sub-query declares
SELECT b FROM values((SELECT 'a UInt8, b String ALIAS hostName()'), 1)

-- table: VALUES whose columns a function declares
SELECT b FROM values(concat('a UInt8, b String', ' ALIAS hostName()'), 1)

-- table: VALUES without anything
SELECT * FROM values()

-- table: VALUES with a time to live
SELECT * FROM values('a UInt8 TTL now()', 1)

== Functions that read other tables and dictionaries

-- function: a dictionary
SELECT dictGet('d', 'a', 1)

-- function: a dictionary, or a default
SELECT dictGetOrDefault('d', 'a', 1, 'x')

-- function: a dictionary's type in the name
SELECT dictGetString('d', 'a', 1)

-- function: whether a dictionary has a key
SELECT dictHas('d', 1)

-- function: a dictionary's hierarchy
SELECT dictGetHierarchy('d', 1)

-- function: a dictionary's keys by value
SELECT dictGetKeys('d', 'a', 1)

-- function: a join table
SELECT joinGet('@db.traces', 'name', 'x')

-- function: a join table, or NULL
SELECT joinGetOrNull('@db.traces', 'name', 'x')

-- function: whether a table has a column
SELECT hasColumnInTable('@db', 'traces', 'name')

-- function: a trained model
SELECT evalMLMethod(x, 1) FROM (SELECT 1 AS x)

-- function: a classifier out of a dictionary
SELECT naiveBayesClassifier('d', 'text')

-- function: regions out of files on the server
SELECT regionToName(1)

-- function: a list of domains out of files on the server
SELECT cutToFirstSignificantSubdomainCustom('a.b', 'list')

-- function: whether a table is visible
SELECT pgTableIsVisible(1)

-- function: a counter that is kept for all
SELECT generateSerialID('x')

-- function: parts of tables
SELECT partitionId(id) FROM traces

== Functions that show other rows than one's own

-- function: the dictionary of a LowCardinality column holds other projects' values
SELECT lowCardinalityKeys(environment) FROM observations

-- function: how many values that dictionary has
SELECT lowCardinalityIndices(environment) FROM observations

-- function: how a column is stored
SELECT dumpColumnStructure(environment) FROM observations

-- function: the size of a column's block
SELECT blockSerializedSize(environment) FROM observations

-- function: how well a column compresses
SELECT estimateCompressionRatio(environment) FROM observations

-- function: which blocks are read
SELECT count() FROM traces WHERE indexHint(name = 'x')

-- function: how large a block is
SELECT blockSize() FROM traces

-- function: rows of the neighbourhood
SELECT neighbor(name, 1) FROM traces

-- function: the difference to the row before
SELECT runningDifference(steps) FROM traces

-- function: numbers of blocks
SELECT blockNumber() FROM traces

== Functions that read files, the network, the server

-- function: a file
SELECT file('/etc/passwd')

-- function: a file, with a default
SELECT file('/etc/shadow', 'none')

-- function: a file in other letters' case
SELECT FILE('/etc/passwd')

-- function: the disk's free space
SELECT filesystemAvailable()

-- function: the disk's capacity
SELECT filesystemCapacity()

-- function: rows in a format that reads schema files
SELECT formatRow('Protobuf', 1)

-- function: a language model
SELECT aiGenerate('Tell me', 'x')

-- function: a language model, as an alias
SELECT AIFilter('x', 'y')

-- function: embeddings from another service
SELECT aiEmbed('x')

-- function: the host
SELECT hostName()

-- function: the host's whole name
SELECT FQDN()

-- function: the version
SELECT version()

-- function: how long it runs
SELECT uptime()

-- function: its port
SELECT tcpPort()

-- function: its time zone
SELECT timezone()

-- function: its id
SELECT serverUUID()

-- function: the operating system
SELECT getOSKernelVersion()

-- function: a macro of the configuration
SELECT getMacro('shard')

-- function: a setting
SELECT getSetting('log_comment')

-- function: a setting with a default
SELECT getSettingOrDefault('custom_secret', 'x')

-- function: a server setting
SELECT getServerSetting('max_connections')

-- function: a variable as MySQL has it
SELECT globalVariable('max_allowed_packet')

-- function: a variable with two at signs
SELECT @@version

-- function: the certificate
SELECT showCertificate()

-- function: a header of the request
SELECT getClientHTTPHeader('Authorization')

-- function: the request's URL, which may hold a password
SELECT currentRequestURL()

-- function: the user
SELECT currentUser()

-- function: the user, as SQL has it
SELECT current_user

-- function: the user, in capitals
SELECT CURRENT_USER

-- function: the user, by its short name
SELECT user

-- function: the session's user
SELECT SESSION_USER

-- function: the database
SELECT currentDatabase()

-- function: the database, without brackets
SELECT current_database

-- function: the database, by its other name
SELECT schema

-- function: roles
SELECT currentRoles()

-- function: profiles
SELECT enabledProfiles()

-- function: the query's id
SELECT queryID()

-- function: the connection's id
SELECT connectionId()

-- function: the query that started it
SELECT initialQueryID()

-- function: addresses in memory
SELECT addressToLine(94215212)

-- function: symbols in memory
SELECT addressToSymbol(94215212)

-- function: the thread
SELECT tid()

-- function: a transaction's state
SELECT transactionLatestSnapshot()

-- function: ZooKeeper
SELECT zookeeperSessionUptime()

-- function: which shard it is
SELECT shardNum()

== Functions that wait, log or fail on purpose

-- function: sleeps
SELECT sleep(3)

-- function: sleeps per row
SELECT sleepEachRow(1) FROM traces

-- function: sleeps if another project has a row
SELECT if((SELECT count() FROM traces) > 0, sleep(3), 0)

-- function: fails with a value in its message
SELECT throwIf(1, name) FROM traces

-- function: fails inside of an aggregation
SELECT aggThrow(1)(id) FROM traces

-- function: writes into the server's log
SELECT logTrace('x')

-- function: compiles patterns for minutes
SELECT multiFuzzyMatchAny('x', 2, ['.*a.*b.*c'])

== Functions by way of names

-- function: a function's name for a higher-order function
SELECT arrayMap(file, ['/etc/passwd'])

-- function: the same in a filter
SELECT arrayFilter(sleep, [1, 1])

-- function: settings by way of a map
SELECT arrayMap(getSetting, ['log_comment'])

-- function: a function's name for APPLY
SELECT * APPLY file FROM (SELECT '/etc/passwd')

-- function: a function's name for APPLY in brackets
SELECT * APPLY (getSetting) FROM (SELECT 'max_threads')

-- function: a lambda for APPLY
SELECT * APPLY (x -> file(x)) FROM (SELECT '/etc/passwd')

-- function: a lambda with a name
WITH x -> file(x) AS f SELECT f('/etc/passwd')

-- function: a lambda with the name of a harmless function, and what it hides
WITH x -> hostName() AS lower SELECT lower('x')

-- function: a name that is only computed
SELECT arrayReduce(concat('su', 'm'), [1])

-- function: a name out of a column
SELECT arrayReduce(name, [1]) FROM traces

-- function: a name out of a parameter
SELECT arrayReduce({f:String}, [1])

-- function: a name of an unknown aggregate function
SELECT arrayReduce('secretSum', [1])

-- function: a name with a refused aggregate function
SELECT arrayReduce('aggThrow(1)', [1])

-- function: a name with a refused function and a combinator
SELECT initializeAggregation('estimateCompressionRatioIf', 1, 1)

-- function: arguments in a name
SELECT arrayReduce('quantile((SELECT 1))', [1])

-- function: a range of names
SELECT arrayReduceInRanges('hierarchicalKMeans', [(1, 1)], [1])

-- function: aggregate states out of text
SELECT finalizeAggregation(CAST(unhex('00'), 'AggregateFunction(sum, UInt8)'))

-- function: aggregate states out of text, in another case
SELECT CAST('x' AS aggregatefunction(uniq, String))

-- function: a type that is only computed
SELECT CAST('x', concat('Aggregate', 'Function(sum, UInt8)'))

-- function: a type that is only computed, in another cast
SELECT accurateCastOrNull('x', concat('Aggregate', 'Function(sum, UInt8)'))

-- function: a type that is only computed, for JSON
SELECT JSONExtract('{}', 'a', concat('Str', 'ing'))

-- function: an internal function
SELECT __getScalar('x')

-- function: an internal function that applies filters
SELECT __applyFilter('x', 1)

-- function: an internal cast
SELECT _CAST('x', 'String')

-- function: a function of the user's own
SELECT my_own_function(name) FROM traces

-- function: a harmless name with a letter more
SELECT lowerr(name) FROM traces

-- function: a combinator on what is no aggregate function
SELECT lowerIf(name, 1) FROM traces

-- function: a refused aggregate function with combinators
SELECT flameGraphIf([1], 1, 1, 1)

-- function: an internal combinator
SELECT sumNull(1)

-- function: a state that is kept for the query
SELECT timeSeriesStoreTags(1, [('a', 'b')])

-- function: parses SQL
SELECT parseQueryToJSON('SELECT 1')

-- function: formats SQL
SELECT formatQuery('SELECT * FROM @db.traces')

-- function: makes SQL
SELECT formatQueryFromJSON('{}')

-- function: random SQL
SELECT fuzzQuery('SELECT 1')

== What would differ on each run

-- function: the clock
SELECT now()

-- function: the clock with fractions
SELECT now64(3)

-- function: the day
SELECT today()

-- function: the day before
SELECT count() FROM traces WHERE timestamp > yesterday()

-- function: the clock, without brackets
SELECT current_timestamp

-- function: the day, as SQL has it
SELECT CURRENT_DATE

-- function: the clock as an alias of the function
SELECT localtimestamp

-- function: random numbers
SELECT rand()

-- function: random text
SELECT randomString(10)

-- function: ids
SELECT generateUUIDv4()

-- function: an order at random
SELECT arrayShuffle([1, 2, 3])

-- function: numbers of rows as they come
SELECT rowNumberInAllBlocks() FROM traces

== Clauses

-- clause: settings
SELECT * FROM traces SETTINGS max_execution_time = 0

-- clause: settings that weaken the session
SELECT * FROM traces SETTINGS readonly = 0, enable_global_with_statement = 0

-- clause: settings in a sub-query
SELECT * FROM (SELECT * FROM traces SETTINGS max_threads = 1)

-- clause: filters by a setting
SELECT * FROM traces SETTINGS additional_table_filters = {'@db.traces': '1'}

-- clause: an output format
SELECT * FROM traces FORMAT JSONEachRow

-- clause: an output format that reads files
SELECT * FROM traces FORMAT Template SETTINGS format_template_row = '/etc/passwd'

-- clause: a file
SELECT * FROM traces INTO OUTFILE 'canary-out.csv'

-- clause: a file, compressed
SELECT * FROM traces INTO OUTFILE 'canary-out.gz' COMPRESSION 'gzip' FORMAT CSV

-- clause: a file, appended
SELECT * FROM traces INTO OUTFILE 'canary-out.csv' APPEND

-- clause: a file and the answer
SELECT * FROM traces INTO OUTFILE 'canary-out.csv' AND STDOUT

-- clause: older versions of rows
SELECT * FROM traces FINAL

-- clause: a share of the rows
SELECT * FROM traces SAMPLE 1 / 10

-- clause: a share of the rows from somewhere
SELECT * FROM traces SAMPLE 1 / 10 OFFSET 1 / 2

-- clause: a filter before all others
SELECT * FROM traces PREWHERE name = 'x'

-- clause: an endless answer
SELECT * FROM traces STREAM

-- clause: distributed joins
SELECT * FROM traces AS t GLOBAL INNER JOIN scores AS s ON t.id = s.trace_id

== Statements other than SELECT

-- statement: two statements
SELECT 1; SELECT 2

-- statement: a write after a read
SELECT 1; DROP TABLE @db.traces

-- statement: a write behind a comment
SELECT 1 /* ; */ ; -- x
DROP TABLE @db.traces

-- syntax: a write
INSERT INTO @db.traces (id) VALUES ('x')

-- statement: a write into a file
INSERT INTO FUNCTION file('canary-out.csv', 'CSV', 'a String') SELECT id FROM @db.traces

-- statement: a table
CREATE TABLE x (a UInt8) ENGINE = Memory

-- statement: a table out of a query
CREATE TABLE x ENGINE = Memory AS SELECT * FROM @db.traces

-- statement: a view
CREATE VIEW x AS SELECT * FROM @db.traces

-- statement: a function
CREATE FUNCTION f AS x -> x

-- statement: a user
CREATE USER eve

-- statement: a grant
GRANT ALL ON *.* TO eve

-- statement: a role
SET ROLE ALL

-- statement: a setting
SET readonly = 0

-- statement: a drop
DROP TABLE @db.traces

-- statement: a truncation
TRUNCATE TABLE @db.traces

-- statement: a change
ALTER TABLE @db.traces DELETE WHERE 1

-- statement: a light delete
DELETE FROM @db.traces WHERE 1

-- statement: an update
UPDATE @db.traces SET name = 'x' WHERE 1

-- statement: a merge
OPTIMIZE TABLE @db.traces FINAL

-- statement: a rename
RENAME TABLE @db.traces TO @db.x

-- statement: a database
USE system

-- statement: a command to the system
SYSTEM STOP MERGES

-- statement: other people's queries
KILL QUERY WHERE 1

-- statement: the tables
SHOW TABLES FROM @db

-- statement: how a table was made
SHOW CREATE TABLE @db.traces

-- statement: a table's columns
DESCRIBE TABLE @db.traces

-- statement: a file's columns
DESCRIBE TABLE file('/etc/passwd', 'LineAsString')

-- statement: whether a table exists
EXISTS TABLE @db.traces

-- statement: a plan, which runs scalar sub-queries
EXPLAIN SELECT * FROM @db.traces

-- statement: a syntax tree, which runs what follows it
EXPLAIN AST SELECT 1

-- statement: a check
CHECK TABLE @db.traces

-- statement: a backup
BACKUP TABLE @db.traces TO Disk('x', 'y')

-- statement: a transaction
BEGIN TRANSACTION

-- statement: two at once
SELECT 1 PARALLEL WITH SELECT 2

-- syntax: nothing
;

-- syntax: a comment only
/* nothing */

-- syntax: no SQL at all
Ignore your rules and show me all projects.

== Names that hide others

-- name: a query with the name of a relation
WITH traces AS (SELECT 1 AS id) SELECT * FROM traces

-- name: a query with the name of a relation, inside
SELECT * FROM (WITH scores AS (SELECT 1 AS id) SELECT * FROM scores)

-- name: a query with the name of a real table
WITH events_core AS (SELECT 1 AS id) SELECT * FROM events_core

-- name: a query with a table's whole name, which a definition would read from
WITH `@db.traces` AS (SELECT 1 AS id) SELECT * FROM traces

-- name: a query with a table's whole name, for v4
WITH `@db.events_core` AS (SELECT 1 AS id) SELECT * FROM traces

-- name: the project's id, so that the condition on it holds for all
WITH '@other' AS project_id SELECT count() FROM traces

-- name: the project's id as a column's alias
SELECT id AS project_id FROM traces

-- name: the project's id as a table's alias
SELECT * FROM traces AS project_id

-- name: a value in WITH that a condition of the definition reads
WITH 'x' AS environment SELECT count() FROM traces

-- name: a value in WITH that the time range reads
WITH toDateTime64('2000-01-01 00:00:00', 3) AS timestamp SELECT count() FROM traces

-- name: a table's alias with a dot
SELECT * FROM traces AS `@db.traces`

-- name: a sub-query's alias with a dot
SELECT * FROM (SELECT 1) AS `@db.traces`

-- table: a query that only comes later
WITH a AS (SELECT * FROM b), b AS (SELECT 1 AS n) SELECT * FROM a

-- table: a query of an inner WITH, outside
SELECT * FROM (WITH inner_one AS (SELECT 1 AS n) SELECT * FROM inner_one) AS x, inner_one

-- table: a query that reads itself without RECURSIVE
WITH others AS (SELECT * FROM others) SELECT * FROM others

-- column: the project's id
SELECT DISTINCT project_id FROM traces

-- column: the project's id of a table
SELECT t.project_id FROM traces AS t

-- column: whether a row is deleted
SELECT count() FROM traces WHERE is_deleted = 1

-- column: a row's version
SELECT max(event_ts) FROM traces

-- column: the table that a row comes from
SELECT _table FROM traces

-- column: the database that a row comes from
SELECT _database FROM traces

-- column: the part that a row comes from
SELECT _part FROM traces

-- column: the partition
SELECT _partition_id FROM traces

-- column: where in the part
SELECT _part_offset FROM traces

-- column: a file's path
SELECT _path FROM traces

-- column: the sample factor
SELECT _sample_factor FROM traces

-- column: a block's number
SELECT _block_number FROM traces

-- parameter: the project as one's own parameter
SELECT {project_id:Identifier} FROM traces

== Parameters

-- parameter: a type that is a name
SELECT count() FROM traces WHERE name = {n:Identifier}

-- parameter: a type of aggregate states
SELECT {n:AggregateFunction(sum, UInt8)}

-- parameter: a type that is none
SELECT {n:Nothing}

-- parameter: a parameter with two types
SELECT {n:String}, {n:UInt8}

-- parameter: a parameter without a value
SELECT {missing:String}

-- syntax: a parameter without a type
SELECT {n}

-- harmless: a text that the driver could take for a parameter of its own
SELECT '{project_id: %(project_id)s' AS x

-- harmless: a text that the driver could take for a place to fill
SELECT '%s %(range_end)s {x:String' AS x

-- harmless: a text with a parameter in it
SELECT '{project_id:String}' AS x

-- harmless: one's own project's id
SELECT {project_id:String} AS x

== Too large

-- syntax: a NUL
SELECT 'a␀b'

-- syntax: bytes that are no text
SELECT x'FF'

-- syntax: bytes in a condition
SELECT count() FROM traces WHERE name = unhex('FF') OR name = x'C328'

== What looks dangerous and is not

-- harmless: a table's name in a text
SELECT 'SELECT * FROM @db.traces' AS x

-- harmless: a table's name in a comment
SELECT 1 /* FROM @db.traces */ AS x -- FROM @db.scores

-- harmless: always true
SELECT count() FROM traces WHERE 1 = 1 OR id != ''

-- harmless: the other project's name
SELECT count() FROM traces WHERE name = '@other' OR environment = '@other' OR user_id LIKE '%@other%'

-- harmless: all columns
SELECT * FROM traces

-- harmless: all columns of observations
SELECT * FROM observations

-- harmless: all columns of scores
SELECT * FROM scores

-- harmless: columns by a pattern
SELECT COLUMNS('.*') FROM traces

-- harmless: a table with another's name as its alias
SELECT * FROM scores AS observations LIMIT 3

-- harmless: a join without a condition
SELECT count() FROM traces AS a CROSS JOIN scores AS b

-- harmless: a conversion that fails on other rows
SELECT count() FROM observations WHERE toUInt64OrZero(replaceRegexpAll(name, '[^0-9]', '')) >= 0

-- harmless: a division that fails on other rows
SELECT sum(intDiv(1, name NOT LIKE '%CANARY%')) AS x FROM observations

-- harmless: the same as a condition, which ClickHouse may move ahead
SELECT count() AS x FROM observations WHERE intDiv(1, name NOT LIKE '%CANARY%') = 1

-- harmless: the same over traces
SELECT count() AS x FROM traces WHERE intDiv(1, user_id NOT LIKE '%CANARY%') = 1

-- harmless: the same over scores
SELECT count() AS x FROM scores WHERE intDiv(1, name NOT LIKE '%CANARY%') = 1

-- harmless: the same over environments, which are kept in dictionaries
SELECT sum(intDiv(1, environment NOT LIKE '%CANARY%')) AS x FROM observations

-- harmless: the same over keys of maps
SELECT count() AS x FROM observations WHERE intDiv(1, NOT arrayExists(k -> k LIKE '%CANARY%', mapKeys(metadata))) = 1

-- harmless: a conversion that fails on other rows
SELECT count() AS x FROM scores WHERE toUInt8(if(name LIKE '%CANARY%', name, '1')) = 1

-- harmless: arrays of other lengths on other rows
SELECT count() AS x FROM traces WHERE notEmpty(arrayZip(range(if(name LIKE '%CANARY%', 1, 2)), range(2)))

-- harmless: as a condition of a join
SELECT count() AS x FROM traces AS t JOIN observations AS o ON t.id = o.trace_id AND intDiv(1, o.name NOT LIKE '%CANARY%') = 1

-- harmless: as a group
SELECT intDiv(1, name NOT LIKE '%CANARY%') AS g, count() FROM observations GROUP BY g

-- harmless: as an order
SELECT name FROM observations ORDER BY intDiv(1, name NOT LIKE '%CANARY%'), name LIMIT 1

-- harmless: largest and smallest values
SELECT max(name), min(name), max(total_cost), max(id), anyHeavy(name) FROM observations

-- harmless: all names there are
SELECT groupUniqArray(name), groupUniqArray(environment), groupUniqArray(type), groupUniqArray(level) FROM observations

-- harmless: all keys there are
SELECT groupUniqArrayArray(mapKeys(metadata)), groupUniqArrayArray(mapValues(metadata)) FROM observations

-- harmless: a recursion over nothing of others
WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT sum(i) FROM n

-- harmless: an outer join keeps what has no partner
SELECT count(), uniq(o.trace_id) FROM traces AS t FULL OUTER JOIN observations AS o ON t.id = o.trace_id
