"""What the user asked for, as frozen dataclasses, validated once here.

Every stage takes one of these specs; none of them re-checks what is checked here. What can only
be known later (whether a model allows a sequence length, whether a block divides a weight) is
checked by the stage that learns it.
"""
