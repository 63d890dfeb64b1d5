"""Failed assertions of the contract suite show their values."""

import pytest

pytest.register_assert_rewrite("sharedsession.testing.contract")
