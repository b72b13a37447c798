"""Right and wrong answers to lesson 06, WaveNet.

The first line of a wrong answer, or the comment above a slip, names its mistake where its name does not. Every answer
brings its own imports, so that its source is complete in a notebook's cell.
"""

from banks import Bank

bank = Bank("wavenet")
