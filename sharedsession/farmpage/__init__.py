"""The farm page: the store or the ring, the web nodes, the counters and the latency, for the operators of a farm.

It is an application to be mounted beside the user's, in either colour; there is none unless it is mounted. The mount
decides who may see it: by a function of the application, or by a password of the page. The page shows no ID, token,
key, payload or password.

`auth` decides who may see it, `latency` keeps how long the store took, `webnodes` who disagrees in what, `facts` what
is shown. `svg`, `tables` and `page` draw it, `core` puts it together; `apps` are the two applications. The demo
puts the same parts together in its own way.
"""

from sharedsession.farmpage.apps import AsgiFarmPage, WsgiFarmPage, asgi, wsgi

__all__ = ["AsgiFarmPage", "WsgiFarmPage", "asgi", "wsgi"]
