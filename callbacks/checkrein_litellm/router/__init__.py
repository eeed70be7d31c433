"""A `litellm.Router` whose every call is governed."""
