# SPDX-License-Identifier: Apache-2.0
#
# Completion of ukprobe for fish: ukprobe itself is asked.

function __ukprobe_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l answer ($words[1] __complete -- $words[2..-1] "$current" 2>/dev/null)
    if test (count $answer) -gt 1
        printf '%s\n' $answer[1..-2]
    end
    switch "$answer[-1]"
        case :files
            __fish_complete_path $current
        case :dirs
            __fish_complete_directories $current ''
    end
end

complete -c ukprobe -f -a '(__ukprobe_complete)'
