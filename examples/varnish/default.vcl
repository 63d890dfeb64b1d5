# A farm behind Varnish, which caches whatever the headers allow, for requests with a cookie as well.
# TLS ends in front of it. For Varnish 7; put it into /etc/varnish/default.vcl.
#
# It is safe because the library says what a page depends on: one that looked at the session has `Vary: Cookie`, one
# that hands out a cookie `Cache-Control: no-store`. Varnish obeys both by itself.

vcl 4.1;

import directors;

probe alive {
    .url = "/ready";  # sharedsession.readiness, or any page of yours
    .interval = 1s;
    .timeout = 1s;
    .window = 3;
    .threshold = 2;
    .initial = 2;
}

backend a { .host = "10.0.0.11"; .port = "8000"; .connect_timeout = 2s; .probe = alive; }
backend b { .host = "10.0.0.12"; .port = "8000"; .connect_timeout = 2s; .probe = alive; }
backend c { .host = "10.0.0.13"; .port = "8000"; .connect_timeout = 2s; .probe = alive; }

sub vcl_init {
    new farm = directors.round_robin();
    farm.add_backend(a);
    farm.add_backend(b);
    farm.add_backend(c);
}

sub vcl_recv {
    set req.backend_hint = farm.backend();
    # What a visitor says of the scheme, gunicorn would believe, or answer with 400 where it differs from the front's.
    unset req.http.X-Forwarded-Ssl;
    unset req.http.X-Forwarded-Protocol;
}

# By itself Varnish caches nothing for a request with a cookie. Here `Vary: Cookie` decides, page by page.
sub vcl_req_cookie {
    return;
}

# A node that went away since its last probe: a page is asked of the next one. What changes something is not sent twice.
sub vcl_backend_error {
    if (bereq.retries < 2 && (bereq.method == "GET" || bereq.method == "HEAD")) {
        set bereq.backend = farm.backend();
        return (retry);
    }
}

sub vcl_deliver {
    if (obj.hits > 0) {
        set resp.http.X-Cache = "HIT";
    } else {
        set resp.http.X-Cache = "MISS";
    }
}
