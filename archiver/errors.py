"""Why a folder is not packed, stored, fetched or unpacked. A message fits on one line and never holds a secret.

ArchiverError
├── WrongSettings    the environment does not say what to do
├── Refused          what was found may not be stored, or overwritten
├── Unreachable      where archives are kept does not answer, or refuses
└── Broken           what was found is not the archive that was asked for
    ├── Missing         there is nothing
    ├── NotAnArchive    it is something else
    ├── NewerVersion    it was made by another version of this program, later ones above all
    ├── NotOpened       it was made with another key, or for somebody else
    ├── Torn            it ends too early, or goes on after its end
    ├── Changed         bytes in it are not those that were sealed or packed
    └── Differs         it is an archive, but not the one whose checksum and size were told

Ended                somebody asked this process to end
"""


class ArchiverError(Exception):
    """Base of all."""


class WrongSettings(ArchiverError):
    """A setting is missing or wrong; says which."""


class Refused(ArchiverError):
    """It could be done, and must not be."""


class Unreachable(ArchiverError):
    """Another try may succeed."""


class Broken(ArchiverError):
    """Base of what is wrong with an archive."""


class Missing(Broken):
    """Or it has been removed."""


class NotAnArchive(Broken):
    """It does not begin as one."""


class NewerVersion(Broken):
    """It may be whole; this program cannot tell."""


class NotOpened(Broken):
    """Neither key nor context may be told apart from the other."""


class Torn(Broken):
    """The last chunk is missing, or is not the end."""


class Changed(Broken):
    """Or two chunks were swapped, or one left out."""


class Differs(Broken):
    """It would open, and hold something else."""


class Ended(BaseException):
    """By a signal; it may come anywhere, so nothing that tries again may catch it."""
