"""What Sea-Bird's instruments say besides their samples: prompts, echoes of commands, status replies, refusals."""

import re

PROMPTS = rb"(?:(?:S|IMM)>[ ]*|</?(?:RemoteReply|Execut(?:ed|ing)/)>[ ]*)*"
BEFORE = re.compile(PROMPTS)
"""What may stand before anything on a line: prompts."""
REFUSAL = re.compile(rb"<(?:Error|ERROR)\b[ -~]*|\?[ A-Za-z]*|[Ee]rror[ -~]*|ERROR[ -~]*")
CONVERSATION = re.compile(
    rb"\*(?!\W*\d+\.\d{3,5},)[ -~]*"  # the header of an uploaded file
    rb"|</?[A-Za-z!?][ -~]*"  # XML
    rb"|[A-Za-z]{1,24}(?:[=:][ -~]{0,60})?"  # a command's echo
    rb"|SBE[ -~]*"
    rb"|[A-Z]{1,8}\d? *= *[-+\d.eE]+"  # a coefficient
    rb"|(?![ -~]*\d\.\d{3})[A-Za-z][A-Za-z/]{0,15}[ :=,][ -~]*"  # status and plain words
)
"""What an instrument says besides its samples, without the prompts."""
