"""The errors pabcast raises on purpose; each message says what is wrong, the arithmetic and the way out.

    PabcastError
    ├── ConfigError         a config, a flag or an input that cannot work: exit code 2
    ├── StoreError          the output or input store cannot be used: exit code 1
    │   └── StoreFull       no space left
    ├── ClusterError        the cluster cannot give what was asked: exit code 1
    ├── RequestError        this video can never be made as asked: its row is recorded as failed
    │   ├── OutOfMemory     it does not fit the device
    │   └── NotFinite       the denoiser produced NaN or infinity
    ├── GangError           a rank died, hung or failed; the video can be tried again
    ├── HandedOver          a run was left at a full step, for another gang to go on with
    └── Cancelled           somebody asked to stop this video

All take one string, so they pickle.
"""


class PabcastError(Exception):
    """Base of every error that pabcast raises on purpose."""


class ConfigError(PabcastError):
    """A config, a flag or an input that cannot work."""


class StoreError(PabcastError):
    """A store that cannot be read or written."""


class StoreFull(StoreError):
    """No space is left in the store."""


class ClusterError(PabcastError):
    """The cluster cannot give what was asked."""


class RequestError(PabcastError):
    """A video that can never be made as asked."""


class OutOfMemory(RequestError):
    """A video that does not fit the device."""


class NotFinite(RequestError):
    """A video whose latents became NaN or infinite."""


class GangError(PabcastError):
    """A rank died, hung or failed in mid-video."""


class HandedOver(PabcastError):
    """A run that was left at a full step, for another gang to go on with."""


class Cancelled(PabcastError):
    """A video that was stopped on request."""
