"""What CloudFormation, CloudWatch and IAM would refuse or ignore in template.yaml, found without an account.

Run as `python -m template_check` with `tests/` as the working directory; `make lint` does. Each module holds the rules of
one subject, as functions over the template as SAM's own translator makes it and as `resolve.py` resolves it for a set of
parameters.
"""
