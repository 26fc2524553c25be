"""Everything the domain and the ports raise, and nothing else does.

PlaygroundError
├── InvalidRequest       the caller's input is wrong, and says where
├── NotAuthenticated     no certificate that we accept
├── NotInvited           no token that we accept
├── NotFound             there is no such thing, or it is somebody else's
├── NotAllowed           as it is now, that cannot be done with it
├── PreconditionFailed   it has changed since the caller saw it
├── TooMany              this caller, or its tenant, asks for more than its share
├── NotReady             it is being made; ask again
├── Conflict             the store's item is not what the caller read
├── Fenced               a later step was here already
├── StoreUnavailable     the store cannot be reached or is overloaded
├── ArchiveUnavailable   where archives are kept cannot be reached
├── AuthorityUnavailable who signs certificates cannot be reached
├── ClusterUnavailable   the cluster cannot be reached or is overloaded
├── ClusterRefused       the cluster answered, and said no (quota, policy, rights)
│   └── VolumeGone       it answered that the volume of a life is not there any more
└── SealBroken           sealed credentials cannot be opened with the keys at hand
"""


class PlaygroundError(Exception):
    """Base of all; `detail` never holds a secret. What of it a caller is told, `edge.problems` says."""

    def __init__(self, detail: str = "", retry_after: int | None = None):
        super().__init__(detail)
        self.detail = detail
        self.retry_after = retry_after


class InvalidRequest(PlaygroundError):
    """The caller's input is wrong."""


class NotAuthenticated(PlaygroundError):
    """No certificate, or none that we accept."""


class NotInvited(PlaygroundError):
    """No token for a certificate that we accept."""


class NotFound(PlaygroundError):
    """There is no such thing for this caller."""


class NotAllowed(PlaygroundError):
    """What is asked cannot be done with the thing as it is, whoever asks; `detail` says what could."""


class PreconditionFailed(PlaygroundError):
    """The thing is not of a revision that the caller said it must be."""


class TooMany(PlaygroundError):
    """Its caller has had its share for now; `retry_after` (seconds) says when to ask again."""


class NotReady(PlaygroundError):
    """It is on its way; `retry_after` (seconds) says when to ask again."""


class Conflict(PlaygroundError):
    """A compare-and-set found another etag, or a create found the item there."""


class Fenced(PlaygroundError):
    """An act stopped: the object carries a higher step than its own."""


class StoreUnavailable(PlaygroundError):
    """The store could not be reached, timed out or throttled; nothing is known of the write."""


class ArchiveUnavailable(PlaygroundError):
    """Where archives are kept could not be reached, or refused; nothing is known of what is there."""


class AuthorityUnavailable(PlaygroundError):
    """The key that signs certificates could not be used; nothing was signed."""


class ClusterUnavailable(PlaygroundError):
    """The cluster could not be reached, timed out or throttled; nothing is known of the act."""


class ClusterRefused(PlaygroundError):
    """The cluster refused for a reason that waiting alone does not cure; `detail` says it."""


class VolumeGone(ClusterRefused):
    """The volume of a life that had one is proved not to be there: nothing of it is left to lose."""


class SealBroken(PlaygroundError):
    """Credentials cannot be opened: the key is missing, or they are not what was sealed."""
