"""Engines that are not there: the twin's workers on the wall clock, speaking OpenAI's dialect."""
