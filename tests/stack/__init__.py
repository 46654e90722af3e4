"""The test bench: the stack of template.yaml, deployed into an emulator of AWS and driven from outside."""
