"""The farm page: the ring, its nodes, the counters and the store's latency, for those who run the farm.

An application to be mounted beside the user's, in either colour; without that there is none. Whoever mounts it says who
may look: a function of his own, or a secret of the page's own. No ID, token, key, payload or password is on it.

`door` says who may look, `pulse` remembers how long the store took, `facts` chooses what is shown, `picture` and `page`
draw it, `core` puts it together; `apps` are the two applications. The demo puts the same parts together in its own way.
"""

from sharedsession.farmpage.apps import AsgiFarmPage, WsgiFarmPage, asgi, wsgi

__all__ = ["AsgiFarmPage", "WsgiFarmPage", "asgi", "wsgi"]
