"""Every parser of what is foreign, fed with damaged documents."""
