"""The paths and headers on which the front, its pages and the web nodes must agree."""

FARM_PAGE = "/farm"
"""Where the front shows the farm page."""

COMMANDS = "/farm/"
"""What the paths of the front's commands begin with: ``/farm/kill/web-1``, ``/farm/start/mc-2``."""

HEALTH = "/farm/health"
"""Where a web node returns the health of its manager. The front never relays a request with this path."""

UNSHARED = "/unshared"
"""Where a web node shows the shared session beside one that only its own process knows."""

WEB_NODE_HEADER = "X-Web-Node"
"""In each answer of a web node: its name."""

STATES_HEADER = "X-Farm"
"""In each request of the front: which web nodes are up, as ``web-1=up,web-2=down``."""

STORE_HEADER = "X-Farm-Store"
"""In each request of the front: the kind of the store and its servers, as ``memcached mc-1=up,mc-2=down``."""

NUMBER_HEADER = "X-Farm-Request"
"""In each request of the front: its number, which stays the same when another web node is asked instead."""
