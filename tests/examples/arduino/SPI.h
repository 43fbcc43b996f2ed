// Nothing: the computer's network needs no bus.
#pragma once
