"""Every setting there is. Durations are seconds or ISO 8601; schedules are NCRONTAB, in UTC."""

from collections.abc import Mapping

from shared.domain.hearing import REMEMBERED
from shared.domain.policy import DAY, PLUGIN_INTERVAL, Policy
from shared.edge.config import (
    ARCHIVE,
    CLASS,
    CPU,
    DOMAIN,
    IMAGE,
    ISSUER,
    LABEL,
    LOOKS,
    MEMORY,
    QUEUE,
    SIZE,
    STORE,
    URL,
    Setting,
    SettingError,
    annotations,
    count,
    duration,
    flag,
    names,
    networks,
    number,
    one_of,
    optional,
    schedule,
)  # fmt: skip

# What this app serves and where it keeps things
FUNCTIONS = Setting("PLAYGROUND_FUNCTIONS", names, "all", "the functions this app serves, separated by commas; `all`")
STORE_URL = Setting("PLAYGROUND_STORE", STORE, "sqlite:///.playground/leases.db", "where leases are kept")
LOOKS_VIA = Setting(
    "PLAYGROUND_LOOKS", LOOKS, "inprocess",
    "how looks are posted: `inprocess`, or `queue:<url of an Azure Storage queue service>`",
)  # fmt: skip
LOOKS_QUEUE = Setting("PLAYGROUND_LOOKS_QUEUE", QUEUE, "looks", "name of the queue that brings looks")
LOOKS_STORAGE = Setting(
    "PLAYGROUND_LOOKS_STORAGE", str, "",
    "in Azure, where `look_at_lease` finds its queue: `PLAYGROUND_LOOKS_STORAGE__queueServiceUri`, with `__credential` "
    "and `__clientId` for an identity of its own; or a connection string",
    # As Azure's host knows them:
    # https://learn.microsoft.com/azure/azure-functions/functions-bindings-storage-queue-trigger#connections
    parts=("queueServiceUri", "serviceUri", "accountName", "credential", "clientId", "managedIdentityResourceId",
           "tenantId"),
)  # fmt: skip
SEAL_KEYS = Setting(
    "PLAYGROUND_SEAL_KEYS", str, "file:.playground/seal_keys",
    "keys that seal credentials: `<id>:<base64 of 32 bytes>`, separated by commas, newest first; or `file:<path>`. "
    "Looks seal with the newest, so an older one may go when the retention and a day are over, and where there are "
    "archives the time that they are kept",
)  # fmt: skip

ARCHIVE_AT = Setting(
    "PLAYGROUND_ARCHIVE", ARCHIVE, "none",
    "where the content of a database is stored, sealed, before its storage is deleted: `blob:<url of a container>` of "
    "Azure Storage, or on one machine `volume:<claim>`, which is made if it is missing; `none`: nowhere",
)  # fmt: skip
ARCHIVER_IMAGE = Setting(
    "PLAYGROUND_ARCHIVER_IMAGE", optional(IMAGE), "",
    "the image of the program that does it, built from `infra/images/archiver`; must be set where archives are kept",
)  # fmt: skip
ARCHIVES_AT_ONCE = Setting(
    "PLAYGROUND_ARCHIVES_AT_ONCE", count, "8",
    "about how many databases are stored at once, each by a pod that asks for what a database asks for; 0: any number",
)  # fmt: skip
ARCHIVE_STORAGE = Setting("PLAYGROUND_ARCHIVE_STORAGE", SIZE, "10Gi", "size of the volume on which archives are kept")

TELEMETRY = Setting(
    "PLAYGROUND_TELEMETRY", one_of("none", "prometheus", "azure"), "none",
    "to whom measurements go: `prometheus`, who asks a server of our own at `--metrics_port`; `azure`, with traces, by "
    "`APPLICATIONINSIGHTS_CONNECTION_STRING`; see `docs/operations.md`",
)  # fmt: skip
TELEMETRY_CONNECTION = "APPLICATIONINSIGHTS_CONNECTION_STRING"  # as Azure calls it
LOG_LEVEL = Setting(
    "PLAYGROUND_LOG_LEVEL", one_of("DEBUG", "INFO", "WARNING", "ERROR"), "INFO", "what a server of our own logs"
)

# Who may call
CERTIFICATE_FROM = Setting(
    "PLAYGROUND_CERTIFICATE_FROM", one_of("none", "arr", "selfhost"), "none",
    "who puts the client certificate into `X-ARR-ClientCert`: Azure's front end (`arr`), our own (`selfhost`), nobody",
)  # fmt: skip
CLIENT_CA = Setting("PLAYGROUND_CLIENT_CA", str, "", "path of the PEM file with the CAs whose clients are accepted")
TRUST_DOMAIN = Setting("PLAYGROUND_TRUST_DOMAIN", DOMAIN, "playground.local", "trust domain of the certificates' names")

ISSUER_KEY = Setting(
    "PLAYGROUND_ISSUER_KEY", ISSUER, "none",
    "the key that signs people's certificates: `file:<path>` (PEM), `keyvault:<url of an RSA key>`; `none`: none are "
    "issued here",
)  # fmt: skip
ISSUER_CRT = Setting("PLAYGROUND_ISSUER_CRT", str, "", "path of that CA's certificate (PEM)")
CERTIFICATE_LIFETIME = Setting(
    "PLAYGROUND_CERTIFICATE_LIFETIME", duration, "P30D", "how long a certificate is good for that is issued here"
)
PUBLIC_URL = Setting(
    "PLAYGROUND_PUBLIC_URL", optional(URL), "",
    "base URL that who enrolls is told to use; unset: the canary's",
)  # fmt: skip

# What is one's share
USER_RATE = Setting("PLAYGROUND_USER_RATE", number, "20", "requests a second of one user, besides beats; 0: any number")
TENANT_RATE = Setting(
    "PLAYGROUND_TENANT_RATE", number, "1000", "requests a second of all of a tenant, besides beats; 0: any number"
)
TENANT_DATABASES = Setting(
    "PLAYGROUND_TENANT_DATABASES", number, "0", "databases that a tenant may have, asleep or not; 0: any number"
)
STARTS = Setting("PLAYGROUND_STARTS", number, "64", "databases that one server starts at once; 0: any number")
TENANT_STARTS = Setting(
    "PLAYGROUND_TENANT_STARTS", number, "32", "databases of one tenant that one server starts at once; 0: any number"
)

# The cluster
KUBECONFIG = Setting("PLAYGROUND_KUBECONFIG", str, "", "kubeconfig of the cluster; unset: the pod's own account")
NAMESPACE = Setting("PLAYGROUND_NAMESPACE", LABEL, "playground", "namespace in which databases are made")
ADDRESS = Setting(
    "PLAYGROUND_ADDRESS", one_of("cluster-ip", "dns", "node-port", "load-balancer"), "cluster-ip",
    "what a notebook is told to connect to; a database keeps its kind of address until it starts next",
)  # fmt: skip
CLIENT_NETWORKS = Setting(
    "PLAYGROUND_CLIENT_NETWORKS", networks, "none",
    "networks from which databases may be reached, as CIDRs; a database learns of a change when it starts next",
)  # fmt: skip
SERVICE_ANNOTATIONS = Setting(
    "PLAYGROUND_SERVICE_ANNOTATIONS", annotations, "{}",
    "annotations of every database's Service, a JSON object: what a cloud wants said, as that a balancer is internal",
)  # fmt: skip
REQUIRE_NETWORK_POLICY = Setting(
    "PLAYGROUND_REQUIRE_NETWORK_POLICY", flag, "false",
    "use no cluster that enforces no NetworkPolicy: a server of our own does not start, in Azure each call is refused",
)  # fmt: skip
PROBE = Setting("PLAYGROUND_PROBE", flag, "true", "try at the start of a server whether a database can be had here")

# A database
DATABASE_IMAGE = Setting(
    "PLAYGROUND_DATABASE_IMAGE", IMAGE, "docker.io/library/mariadb:10.11",
    "an image with the public mariadb image's contract",
)  # fmt: skip
DATABASE_CPU = Setting("PLAYGROUND_DATABASE_CPU", CPU, "1", "processors that a database may use, 100m at least")
DATABASE_MEMORY = Setting("PLAYGROUND_DATABASE_MEMORY", MEMORY, "512Mi", "memory of a database, 256Mi at least")
DATABASE_STORAGE = Setting("PLAYGROUND_DATABASE_STORAGE", SIZE, "1Gi", "volume of a database, 256Mi at least")
STORAGE_CLASS = Setting(
    "PLAYGROUND_STORAGE_CLASS", optional(CLASS), "", "storage class of volumes; unset: the cluster's default"
)

SPARES = Setting(
    "PLAYGROUND_SPARES", count, "0",
    "databases that are kept ready for whoever asks next, 100 at most: each costs what one in use costs",
)  # fmt: skip

# What lives and what dies
GRACE = Setting("PLAYGROUND_GRACE", duration, "PT11H", "silence after which a database is hibernated")
HARD_CAP = Setting("PLAYGROUND_HARD_CAP", duration, "PT24H", "hibernated this long after the last beat or proved use")
RETENTION = Setting("PLAYGROUND_RETENTION", duration, "P14D", "how long a hibernated database keeps its storage")
LONGEST_HOLD = Setting("PLAYGROUND_LONGEST_HOLD", duration, "P7D", "how far ahead an owner may hold a database")
SILENCE = Setting("PLAYGROUND_SILENCE", duration, "PT30M", "silence after which a database's use is looked at")
START_TIMEOUT = Setting("PLAYGROUND_START_TIMEOUT", duration, "PT10M", "how long a database may take to start")
ARCHIVE_KEPT = Setting(
    "PLAYGROUND_ARCHIVE_KEPT", duration, "P30D", "how long an archive is kept for its owner's next database"
)
DELETE_WITHOUT_ARCHIVE = Setting(
    "PLAYGROUND_DELETE_WITHOUT_ARCHIVE", flag, "false",
    "delete storage when retention is over although no place for archives is set",
)  # fmt: skip

# Timers
REAP_SCHEDULE = Setting(
    "PLAYGROUND_REAP_SCHEDULE", schedule, "*/30 * * * * *", "when leases that are due are looked at"
)
RECONCILE_SCHEDULE = Setting(
    "PLAYGROUND_RECONCILE_SCHEDULE", schedule, "0 */10 * * * *", "when both sides are compared"
)
REFILL_SCHEDULE = Setting("PLAYGROUND_REFILL_SCHEDULE", schedule, "*/5 * * * * *", "when spares are made and let go")
CANARY_SCHEDULE = Setting("PLAYGROUND_CANARY_SCHEDULE", schedule, "0 * * * * *", "when the canary beats")
CANARY_URL = Setting(
    "PLAYGROUND_CANARY_URL", optional(URL), "",
    "public base URL that the canary beats through; unset: the tick itself counts as heard",
)  # fmt: skip
CANARY_CERT = Setting("PLAYGROUND_CANARY_CERT", str, "", "path of the canary's client certificate (PEM)")
CANARY_KEY = Setting("PLAYGROUND_CANARY_KEY", str, "", "path of its key (PEM)")
CANARY_CA = Setting("PLAYGROUND_CANARY_CA", str, "", "path of the CA of the public address; unset: the system's")


def policy(environment: Mapping[str, str]) -> Policy:
    """The policy that is set. Raises SettingError where its periods contradict each other."""
    chosen = Policy(
        grace=GRACE.read(environment), hard_cap=HARD_CAP.read(environment), retention=RETENTION.read(environment),
        longest_hold=LONGEST_HOLD.read(environment), silence=SILENCE.read(environment),
        start_timeout=START_TIMEOUT.read(environment), delete_without_archive=DELETE_WITHOUT_ARCHIVE.read(environment),
        archives=ARCHIVE_AT.read(environment) != "none", kept=ARCHIVE_KEPT.read(environment),
        tenant_databases=TENANT_DATABASES.read(environment),
    )  # fmt: skip
    if chosen.silence < 2 * PLUGIN_INTERVAL:
        raise SettingError(f"{SILENCE.name} must be at least 20 min: the notebook plugin beats every 10 min")
    if chosen.silence > chosen.unseen / 2:  # a beat may push the next look no further than that
        raise SettingError(
            f"{SILENCE.name} must be at most {chosen.unseen / 7200:.0f} h: half the time between two looks"
        )
    if chosen.start_timeout < chosen.claim:
        raise SettingError(f"{START_TIMEOUT.name} must be at least {chosen.claim:.0f} s: so long one look may take")
    if chosen.grace < chosen.silence:
        raise SettingError(f"{GRACE.name} must not be shorter than {SILENCE.name}")
    if chosen.hard_cap < chosen.grace:
        raise SettingError(f"{HARD_CAP.name} must not be shorter than {GRACE.name}")
    for setting, period in ((HARD_CAP, chosen.hard_cap), (RETENTION, chosen.retention)):
        if period > REMEMBERED:
            raise SettingError(
                f"{setting.name} must be at most {REMEMBERED / DAY:.0f} d: so long deafness is remembered"
            )
    return chosen
