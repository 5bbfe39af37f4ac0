"""Conversations over the chains."""

from chains.chat.chat import Chat
from chains.chat.conversations import Conversations, NoConversation
from chains.chat.turn import Summary, Turn

__all__ = ["Chat", "Conversations", "NoConversation", "Summary", "Turn"]
