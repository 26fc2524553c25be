"""Every metric there is, by OpenTelemetry's names where there are such. Docs: docs/operations.md."""

from shared.ports.telemetry import Metric, Sort

# Seconds, as OpenTelemetry's conventions have them for requests and for databases.
REQUEST = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
OPERATION = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)
PASS = (0.01, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
CREATE = (0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 20.0)
WAIT = (0.01, 0.1, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0)

REQUESTS = Metric(
    "http.server.request.duration", "s", Sort.HISTOGRAM,
    "answers of HTTP functions; the route is the function's name",
    ("http.route", "http.response.status_code"), REQUEST,
)  # fmt: skip
STORE = Metric(
    "db.client.operation.duration", "s", Sort.HISTOGRAM,
    "operations of the store, what is tried again within one included",
    ("db.operation.name", "outcome"), OPERATION,
)  # fmt: skip
CLUSTER = Metric(
    "http.client.request.duration", "s", Sort.HISTOGRAM,
    "requests to Kubernetes, each try its own, the wait for a turn included; a watch lasts as long as it is open; "
    "status none: no answer",
    ("verb", "kind", "http.response.status_code"), REQUEST,
)  # fmt: skip
PASSES = Metric(
    "playground.pass.duration", "s", Sort.HISTOGRAM, "runs of functions that a timer or a message fires",
    ("function", "outcome"), PASS,
)  # fmt: skip

LEASES = Metric(
    "playground.leases", "{lease}", Sort.GAUGE, "leases that are not released, as the last whole reconcile read them",
    ("kind", "state"),
)  # fmt: skip
COMPARED = Metric(
    "playground.reconcile.found", "{object}", Sort.GAUGE,
    "what the last reconcile found: orphan workloads, leases whose workload is missing, what failed", ("what",),
)  # fmt: skip

LOOKS = Metric(
    "playground.looks", "{look}", Sort.COUNTER,
    "looks by what they did, from which state to which; lost: somebody else was first",
    ("actor", "act", "before", "after", "outcome"),
)  # fmt: skip
DUE = Metric("playground.looks.due", "{lease}", Sort.COUNTER, "leases that passes of the reaper found due")
LATE = Metric(
    "playground.looks.late", "s", Sort.GAUGE, "how overdue the longest overdue lease was at the last pass of the reaper"
)
POSTED = Metric("playground.looks.posted", "{look}", Sort.COUNTER, "looks that were asked for")
WAITED = Metric(
    "playground.looks.waited", "s", Sort.HISTOGRAM, "from a look's being asked for to its beginning", buckets=WAIT
)

HEARD = Metric("playground.canary.heard", "s", Sort.GAUGE, "when the canary was heard last, since the epoch; 0: never")
GAPS = Metric("playground.canary.gaps", "{gap}", Sort.GAUGE, "gaps between the canary's beats that are remembered")

SPARES = Metric("playground.pool.spares", "{database}", Sort.GAUGE, "spares that are free, and how many are to be",
                ("which",))  # fmt: skip
REFILLED = Metric("playground.pool.refilled", "{database}", Sort.COUNTER, "spares that were begun, and that failed",
                  ("what",))  # fmt: skip

CREATES = Metric(
    "playground.create_db.duration", "s", Sort.HISTOGRAM, "create_db by how it came by the database",
    ("how", "outcome"), CREATE,
)  # fmt: skip
CREATING = Metric(
    "playground.create_db.active", "{request}", Sort.CHANGE, "create_db under way that found nothing running"
)

REVOCATIONS = Metric(
    "playground.revocations.age", "s", Sort.GAUGE,
    "how old this process's knowledge of revoked certificates is, or the process without any; read when somebody calls",
)  # fmt: skip
CERTIFICATES = Metric(
    "playground.certificate.ends", "s", Sort.GAUGE, "when the server's certificate ends, or its clients' CA's, "
    "since the epoch", ("which",),
)  # fmt: skip

ALL = tuple(value for value in vars().values() if isinstance(value, Metric))
