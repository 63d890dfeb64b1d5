"""One Redis or Valkey as a backend, with requests and replies of our own, over `wire`."""
