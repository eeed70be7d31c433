"""A surface of one message."""

from checkrein_langchain.text.messages import read_messages
from checkrein_langchain.text.surface import Surface


def read(message):
    surface = Surface(10_000)
    read_messages(surface, [message], ("messages",))
    return surface
