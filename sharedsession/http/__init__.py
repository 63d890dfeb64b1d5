"""HTTP without a server: headers in, tokens out; an outcome in, headers out."""
