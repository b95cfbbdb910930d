"""What the program is made of: licences, vulnerabilities, bill of materials.

``scripts/audit`` and ``scripts/sbom`` run it; ``scripts/lock`` writes the file that it reads.
"""
