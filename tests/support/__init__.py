"""What the tests stand on: real servers, and a relay that counts and breaks what passes. No tests here."""
